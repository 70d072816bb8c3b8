/** Events of the programs: flows for monitors, and what was counted. */

import { TraceLevel } from "../../../datapath/maps/generated.ts";
import { findLink } from "../../../datapath/net/link.ts";
import type { Endpoint } from "../../api/endpoint.ts";
import { ApiError } from "../../api/server.ts";
import type { Table } from "../../core/table.ts";
import { reasonText } from "../../flows/names.ts";
import type { AgentConfig } from "../options.ts";
import type { AddressNames } from "../ipcache/address_names.ts";
import type { Kernel } from "../kernel.ts";
import { counter } from "../metrics.ts";
import type { Part } from "../part.ts";
import type { PolicyPart } from "../policy/policy_part.ts";
import { endpointEvents } from "./endpoint_events.ts";
import { flowMetrics } from "./flow_metrics.ts";
import { FlowReader } from "./flow_reader.ts";
import { FlowViews } from "./flow_view.ts";
import { monitorRoute } from "./monitor_route.ts";
import { packetTotals } from "./packet_totals.ts";

const LEVELS = new Map<string, number>([
  ["none", TraceLevel.LEVEL_NONE],
  ["connections", TraceLevel.LEVEL_CONNECTIONS],
  ["packets", TraceLevel.LEVEL_PACKETS],
]);

/** Wires the ring buffer of events to the ring of flows, and that to monitors. */
export function observerPart(
  { config, kernel: { maps, netlink, sockmap }, names, policy: { labels, rule }, endpoints }: {
    config: AgentConfig;
    kernel: Kernel;
    names: AddressNames;
    policy: PolicyPart;
    endpoints: Pick<Table<Endpoint>, "watch">;
  },
): Part {
  const podOf = (ip: string) => names.get(ip);
  const stack = new DisposableStack();
  const reader = stack.use(
    new FlowReader({
      events: maps.pilus_events,
      lost: maps.pilus_lost,
      node: config.nodeName,
      podOf,
      capacity: config.flowBuffer,
    }),
  );
  stack.use(endpoints.watch(endpointEvents(reader)));
  const interfaces = new Map<number, string>();
  const views = new FlowViews({
    labels,
    rule,
    pod: podOf,
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
    maps.pilus_runtime.set(0, { traceLevel, sockmap: Number(sockmap.on) });
  trace(TraceLevel.LEVEL_CONNECTIONS);

  return {
    name: "observer",
    routes: {
      "GET /v1/monitor": monitorRoute(reader.flows, views),
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
      ...flowMetrics(reader),
    ],
    status: () => ({ events: { seen: reader.seen, lost: reader.lostTotal } }),
    [Symbol.asyncDispose]: () => Promise.resolve(stack.dispose()),
  };
}
