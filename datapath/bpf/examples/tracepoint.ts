// Counts context switches: deno run -A tracepoint.ts [SECONDS]
import { BpfObject } from "../mod.ts";
import { compile, everySecond } from "./clang.ts";

const [seconds] = Deno.args;

using object = BpfObject.open(compile("tracepoint")).load();
using _link = object.attach("count");
const switches = object.variable("switches");

await everySecond(seconds, () => console.log(switches.get(), "context switches"));
