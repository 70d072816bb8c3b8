// Counts IPv4 connections that are begun: deno run -A fentry.ts [SECONDS]
import { BpfObject } from "../mod.ts";
import { compile, everySecond } from "./clang.ts";

const [seconds] = Deno.args;

using object = BpfObject.open(compile("fentry")).load();
using _link = object.attach("count");
const connections = object.variable("connections");

await everySecond(seconds, () => console.log(connections.get(), "connections begun"));
