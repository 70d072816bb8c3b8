// Lists the processes: deno run -A iter.ts
import { BpfObject, readIterText } from "../mod.ts";
import { compile } from "./clang.ts";

using object = BpfObject.open(compile("iter")).load();
using link = object.attach("list");

console.log(readIterText(link));
