// Counts the packets that processes of a cgroup send: deno run -A cgroup_skb.ts CGROUP [SECONDS]
import { attachCgroup, BpfObject } from "../mod.ts";
import { compile, everySecond } from "./clang.ts";

const [cgroup = "/sys/fs/cgroup", seconds] = Deno.args;

using object = BpfObject.open(compile("cgroup_skb")).load();
using program = object.program("count");
using _link = attachCgroup(program, { cgroup });
const packets = object.variable("packets");

await everySecond(seconds, () => console.log(packets.get(), "packets"));
