// Counts files that are removed, by CPU: deno run -A kprobe.ts [SECONDS]
import { BpfObject, perCpu, TypedMap, u32, u64 } from "../mod.ts";
import { compile, everySecond } from "./clang.ts";

const [seconds] = Deno.args;

using object = BpfObject.open(compile("kprobe")).load();
using _link = object.attach("count");
using removed = new TypedMap(object.map("removed"), { key: u32, value: perCpu(u64) });

await everySecond(seconds, () => console.log("removed, by CPU:", removed.get(0)));
