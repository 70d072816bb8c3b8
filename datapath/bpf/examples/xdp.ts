// Counts the packets that a device receives: deno run -A xdp.ts DEVICE [SECONDS]
import { attachXdp, BpfObject, perCpu, TypedMap, u16, u64 } from "../mod.ts";
import { compile, everySecond } from "./clang.ts";

const [device = "lo", seconds] = Deno.args;
const ifindex = Number(Deno.readTextFileSync(`/sys/class/net/${device}/ifindex`));

using object = BpfObject.open(compile("xdp")).load();
using program = object.program("count");
using _link = attachXdp(program, { ifindex });
using packets = new TypedMap(object.map("packets"), { key: u16, value: perCpu(u64) });

await everySecond(seconds, () => {
  for (const [type, counts] of packets.entries()) {
    console.log(type.toString(16).padStart(4, "0"), counts.reduce((sum, one) => sum + one));
  }
});
