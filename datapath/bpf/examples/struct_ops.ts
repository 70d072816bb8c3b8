// Registers a congestion control of TCP and shows what it sees: deno run -A struct_ops.ts [SECONDS]
// Then: sysctl -w net.ipv4.tcp_congestion_control=steady
import { BpfObject } from "../mod.ts";
import { compile, everySecond } from "./clang.ts";

const [seconds] = Deno.args;

using object = BpfObject.open(compile("struct_ops")).load();
using _link = object.attachStructOps("steady");
console.log(Deno.readTextFileSync("/proc/sys/net/ipv4/tcp_available_congestion_control").trim());

const acknowledged = object.variable("acknowledged");
await everySecond(seconds, () => console.log(acknowledged.get(), "packets acknowledged"));
