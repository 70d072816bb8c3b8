/** Connections and address translations: listed, flushed, collected, shared out, and when there is no room for more. */

import type { Endpoint } from "../../api/endpoint.ts";
import type { Log } from "../../core/log.ts";
import { periodically } from "../../core/periodic.ts";
import type { Table } from "../../core/table.ts";
import type { Kernel } from "../kernel.ts";
import type { Part } from "../part.ts";
import { flushConnections, listConnections } from "./connections.ts";
import { Shortages } from "./exhaustion.ts";
import { listing } from "./listing.ts";
import { listMappings } from "./mappings.ts";
import { isPressed, shareMetrics, shareRow } from "./shares.ts";

/** Milliseconds between passes of the collector; under pressure one comes with each look for it. */
const GARBAGE_INTERVAL_MS = 30_000, PRESSURE_INTERVAL_MS = 1_000;

/** What {@linkcode conntrackPart} takes. */
export interface ConntrackPartOptions {
  log: Log;
  kernel: Kernel;
  /** Those of this node. */
  endpoints: Table<Endpoint>;
}

/** Wires the connection tables to the API and to their collector. */
export function conntrackPart(
  { log, kernel: { loader, maps }, endpoints }: ConntrackPartOptions,
): Part {
  const stack = new DisposableStack();
  const shortages = stack.use(new Shortages({ maps, endpoints: () => endpoints.rows() }));
  let last = -Infinity;
  const collect = async () => {
    if (performance.now() - last < GARBAGE_INTERVAL_MS && !isPressed(maps)) return;
    last = performance.now();
    await loader.collectGarbage();
  };
  const flush = async () => {
    const deleted = await flushConnections(maps.pilus_ct);
    await loader.collectGarbage(); // counts anew whose they are
    return { deleted };
  };
  return {
    name: "conntrack",
    routes: {
      "GET /v1/ct": ({ query }) =>
        listing(query, (filter) => listConnections(maps.pilus_ct, filter)),
      "DELETE /v1/ct": flush,
      "GET /v1/nat": ({ query }) =>
        listing(query, (filter) => listMappings(maps.pilus_nat, filter)),
    },
    maps: {
      pilus_shares: {
        row: (key, value) => shareRow(key as number, value as { rows: number; refused: number }),
      },
    },
    async start() {
      await collect(); // shares hold from the first count on
      stack.use(periodically(
        PRESSURE_INTERVAL_MS,
        collect,
        (error) => log.error("garbage not collected", { error: String(error) }),
      ));
    },
    metrics: () => shareMetrics(maps),
    status: () => ({ shortages: shortages.recent() }),
    [Symbol.asyncDispose]: () => Promise.resolve(stack.dispose()),
  };
}
