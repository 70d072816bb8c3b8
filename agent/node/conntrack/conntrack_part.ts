/** Connections and address translations: listed, flushed, collected, and when there is no room for more. */

import type { Log } from "../../core/log.ts";
import { periodically } from "../../core/periodic.ts";
import type { Kernel } from "../kernel.ts";
import type { Part } from "../part.ts";
import { flushConnections, listConnections } from "./connections.ts";
import { Shortages } from "./exhaustion.ts";
import { listing } from "./listing.ts";
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
      "GET /v1/ct": ({ query }) =>
        listing(query, (filter) => listConnections(maps.pilus_ct, filter)),
      "DELETE /v1/ct": async () => ({ deleted: await flushConnections(maps.pilus_ct) }),
      "GET /v1/nat": ({ query }) =>
        listing(query, (filter) => listMappings(maps.pilus_nat, filter)),
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
