/** Attaches a hook's program until it is killed. Usage: hold_hook.ts TITLE IFINDEX PID THREAD; says its counter's id */

import { attachHook, hooks } from "./hook_table.ts";

const [title, ...numbers] = Deno.args;
const [ifindex = 0, pid = 0, thread = 0] = numbers.map(Number);
const hook = hooks.find((one) => one.title === title)!;
const { calls, make } = attachHook(hook, { ifindex, pid, thread });
make();
console.log(calls.id);
setInterval(() => {}, 60_000);
