/**
 * What the agent costs and how fast it is, as the compiled program in a lab: the plugin's ADD, start
 * to ready, memory, a policy's way from the file to the endpoints, and events.
 *
 * Usage: deno run -A scripts/bench/agent.ts [cni|memory|restart|pods|events|stops ...], by default all of them.
 * Writes dist/bench/agent.json; exits 1 when a limit is not kept.
 */

import { cni } from "./agent/cni.ts";
import { events } from "./agent/events.ts";
import { fullNode } from "./agent/full_node.ts";
import { memory, restart } from "./agent/memory.ts";
import { ROOT } from "./agent/node.ts";
import { finish } from "./agent/report.ts";
import { stops } from "./agent/stops.ts";

const PARTS: Record<string, () => Promise<void>> = {
  cni,
  memory,
  restart,
  pods: fullNode,
  events,
  stops,
};

const chosen = Deno.args.length > 0 ? Deno.args : Object.keys(PARTS);
const unknown = chosen.filter((part) => !Object.hasOwn(PARTS, part));
if (unknown.length > 0) {
  console.error(`There is no part ${unknown[0]}; there are ${Object.keys(PARTS).join(", ")}`);
  Deno.exit(2);
}
for (const part of chosen) await PARTS[part]!();
Deno.mkdirSync(`${ROOT}dist/bench`, { recursive: true });
if (!finish(`${ROOT}dist/bench/agent.json`)) Deno.exit(1);
