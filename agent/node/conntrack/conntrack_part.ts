/** Connections and address translations: listed, flushed, collected, and when there is no room for more. */

import type { Log } from "../../core/log.ts";
import { periodically } from "../../core/periodic.ts";
import { limitOf } from "../../api/query.ts";
import type { Kernel } from "../kernel.ts";
import type { Part } from "../part.ts";
import { flushConnections, listConnections } from "./connections.ts";
import { Shortages } from "./exhaustion.ts";
import { listMappings } from "./mappings.ts";

/** Milliseconds between looks for what has run out in conntrack and NAT. */
const GARBAGE_INTERVAL_MS = 30_000;

/** Wires the connection tables to the API and to their collector. */
export function conntrackPart(
  { log, kernel: { loader, maps } }: { log: Log; kernel: Kernel },
): Part {
  const stack = new DisposableStack();
  const shortages = stack.use(new Shortages(maps.pilus_metrics));
  return {
    name: "conntrack",
    routes: {
      "GET /v1/ct": ({ query }) => [...listConnections(maps.pilus_ct).take(limitOf(query))],
      "DELETE /v1/ct": async () => ({ deleted: await flushConnections(maps.pilus_ct) }),
      "GET /v1/nat": ({ query }) => [...listMappings(maps.pilus_nat).take(limitOf(query))],
    },
    start() {
      stack.use(periodically(
        GARBAGE_INTERVAL_MS,
        () => loader.collectGarbage(),
        (error) => log.error("garbage not collected", { error: String(error) }),
      ));
    },
    status: () => ({ shortages: shortages.recent() }),
    [Symbol.asyncDispose]: () => Promise.resolve(stack.dispose()),
  };
}
