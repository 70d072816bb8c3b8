// Counts packets of each second in a map of its own: deno run -A map_in_map.ts DEVICE [SECONDS]
import { attachTc, BpfMap, BpfObject, MapType, TypedMap, u32, u64 } from "../mod.ts";
import { compile, everySecond } from "./clang.ts";

const [device = "lo", seconds] = Deno.args;
const ifindex = Number(Deno.readTextFileSync(`/sys/class/net/${device}/ifindex`));
const counters = () =>
  new TypedMap(
    BpfMap.create({
      name: "counters",
      type: MapType.ARRAY,
      keySize: 4,
      valueSize: 8,
      maxEntries: 1,
    }),
    { key: u32, value: u64 },
  );

using object = BpfObject.open(compile("map_in_map")).load();
using front = object.map("front");
let current = counters();
front.setObject(new Uint8Array(4), current.raw);
using program = object.program("count");
using _link = attachTc(program, { ifindex, direction: "egress" });

await everySecond(seconds, () => {
  const before = current;
  current = counters();
  // the programs go on with the new one at once
  front.setObject(new Uint8Array(4), current.raw);
  console.log(before.get(0), "packets");
  before[Symbol.dispose]();
});
