// Closes a port, whoever listens there: deno run -A sk_lookup.ts PORT [SECONDS]
import { BpfObject } from "../mod.ts";
import { compile, everySecond } from "./clang.ts";

const [port = "7100", seconds] = Deno.args;

using object = BpfObject.open(compile("sk_lookup"));
object.setConstants({ closed: Number(port) });
object.load();
using _link = object.attach("choose");
const refused = object.variable("refused");

await everySecond(seconds, () => console.log(refused.get(), "connections refused"));
