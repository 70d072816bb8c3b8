// Counts the bytes that a device receives and sends: deno run -A tcx.ts DEVICE [SECONDS]
import { attachTc, BpfObject } from "../mod.ts";
import { compile, everySecond } from "./clang.ts";

const [device = "lo", seconds] = Deno.args;
const ifindex = Number(Deno.readTextFileSync(`/sys/class/net/${device}/ifindex`));

using object = BpfObject.open(compile("tcx")).load();
using ingress = object.program("ingress"), egress = object.program("egress");
// links of tcx, or filters of clsact before Linux 6.6
using _in = attachTc(ingress, { ifindex, direction: "ingress" });
using _out = attachTc(egress, { ifindex, direction: "egress" });
const received = object.variable("received"), sent = object.variable("sent");

await everySecond(seconds, () => console.log(`received ${received.get()}, sent ${sent.get()}`));
