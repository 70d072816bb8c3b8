/** Events of the programs: flows for monitors, and what was counted. */

import { EventType, TraceLevel } from "../../../datapath/maps/generated.ts";
import { findLink } from "../../../datapath/net/link.ts";
import { ApiError, type ApiRequest } from "../../api/server.ts";
import type { FlowView } from "../../api/views.ts";
import type { AddressNames } from "../ipcache/address_names.ts";
import type { Kernel } from "../kernel.ts";
import { counter } from "../metrics.ts";
import type { Part } from "../part.ts";
import type { PolicyPart } from "../policy/policy_part.ts";
import { FlowReader } from "./flow_reader.ts";
import { eventTypeName, reasonText } from "./names.ts";
import { packetTotals } from "./packet_totals.ts";

const LEVELS = new Map<string, number>([
  ["none", TraceLevel.LEVEL_NONE],
  ["connections", TraceLevel.LEVEL_CONNECTIONS],
  ["packets", TraceLevel.LEVEL_PACKETS],
]);

/** Wires the ring buffer of events to monitors. */
export function observerPart(
  { kernel: { maps, netlink, localPath }, names, policy: { labels, rule } }: {
    kernel: Kernel;
    names: AddressNames;
    policy: PolicyPart;
  },
): Part {
  const interfaces = new Map<number, string>();
  const flows = new FlowReader(maps.pilus_events, maps.pilus_lost, {
    labels,
    rule,
    pod: (ip) => names.get(ip),
    interface(ifindex) {
      let name = interfaces.get(ifindex);
      if (name === undefined) {
        name = findLink(netlink, ifindex)?.name ?? String(ifindex);
        interfaces.set(ifindex, name);
      }
      return name;
    },
  });
  const trace = (traceLevel: number) =>
    maps.pilus_runtime.set(0, { traceLevel, localPath: Number(localPath.on) });
  trace(TraceLevel.LEVEL_CONNECTIONS);

  /** Flows as they come, some at a time, for as long as the client listens; a slow one loses the oldest. */
  async function* monitor({ query, signal }: ApiRequest): AsyncGenerator<FlowView[]> {
    const wanted = query.get("type")?.split(",");
    const types = Object.values(EventType).filter((type) =>
      wanted?.includes(eventTypeName(type)) ?? true
    );
    using listener = flows.listen(types);
    while (!signal.aborted) yield await listener.take(signal);
  }

  return {
    name: "observer",
    routes: {
      "GET /v1/monitor": monitor,
      "POST /v1/trace-level": async ({ json }) => {
        const { level } = await json<{ level?: unknown }>();
        const number = LEVELS.get(String(level));
        if (number === undefined) {
          throw new ApiError(400, {
            code: "invalid",
            message: `level must be one of ${[...LEVELS.keys()].join(", ")}`,
          });
        }
        trace(number);
        return { level };
      },
    },
    metrics: () => [
      ...packetTotals(maps).flatMap(({ reason, direction, packets, bytes }) => {
        if (reason === 0) {
          return [
            counter("forward_count_total", "Packets forwarded", packets, { direction }),
            counter("forward_bytes_total", "Bytes forwarded", bytes, { direction }),
          ];
        }
        const labels = { reason: reasonText(reason), direction };
        return [
          counter("drop_count_total", "Packets dropped", packets, labels),
          counter("drop_bytes_total", "Bytes dropped", bytes, labels),
        ];
      }),
      counter("events_seen_total", "Events read from the ring buffer", flows.seen),
      counter("events_lost_total", "Events that found no room", flows.lost),
      counter("events_missed_total", "Events that monitors were too slow for", flows.missed),
    ],
    status: () => ({ events: { seen: flows.seen, lost: flows.lost } }),
    [Symbol.asyncDispose]: () => Promise.resolve(flows[Symbol.dispose]()),
  };
}
