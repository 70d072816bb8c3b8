// Counts environment variables that programs find and miss: deno run -A uretprobe.ts [SECONDS]
import { attachUprobe, BpfObject } from "../mod.ts";
import { compile, everySecond } from "./clang.ts";

const [seconds] = Deno.args;
const path = `/lib/${Deno.build.arch}-linux-gnu/libc.so.6`;

using object = BpfObject.open(compile("uretprobe")).load();
using program = object.program("count");
using _link = attachUprobe(program, { path, symbol: "getenv", retprobe: true });
const found = object.variable("found"), missing = object.variable("missing");

await everySecond(seconds, () => console.log(`found ${found.get()}, missing ${missing.get()}`));
