/** Events of the programs: flows for monitors, and what was counted. */

import { TraceLevel } from "../../../datapath/maps/generated.ts";
import type { Endpoint } from "../../api/endpoint.ts";
import { ApiError } from "../../api/server.ts";
import type { Log } from "../../core/log.ts";
import { periodically } from "../../core/periodic.ts";
import type { Table } from "../../core/table.ts";
import { FlowRing } from "../../flows/flow_ring.ts";
import { FlowType } from "../../flows/flow.ts";
import { reasonText } from "../../flows/names.ts";
import type { AgentConfig } from "../options.ts";
import type { AddressNames } from "../ipcache/address_names.ts";
import type { Kernel } from "../kernel.ts";
import { counter } from "../metrics.ts";
import type { Part } from "../part.ts";
import type { PolicyPart } from "../policy/policy_part.ts";
import { agentEvents } from "./agent_events.ts";
import { endpointEvents } from "./endpoint_events.ts";
import { EventClock } from "./event_clock.ts";
import { EventFormat } from "./event_format.ts";
import { flowMetrics } from "./flow_metrics.ts";
import { FlowReader } from "./flow_reader.ts";
import { FlowViews } from "./flow_view.ts";
import { LostEvents } from "./lost_events.ts";
import { monitorRoute } from "./monitor_route.ts";
import { packetTotals } from "./packet_totals.ts";

/** Events of the agent that are kept. */
const AGENT_EVENTS = 1024;

/** Milliseconds between two looks at the counters of lost events. */
const LOST_INTERVAL_MS = 1000;

const LEVELS = new Map<string, number>([
  ["none", TraceLevel.LEVEL_NONE],
  ["connections", TraceLevel.LEVEL_CONNECTIONS],
  ["packets", TraceLevel.LEVEL_PACKETS],
]);

/** See the module. */
export interface ObserverPart extends Part {
  flows: FlowRing;
  interfaceName(ifindex: number): string;
}

/** Wires the ring buffer of events to the ring of flows, and that to monitors. */
export function observerPart(
  { config, log, kernel, names, policy: { labels, rule }, endpoints }: {
    config: AgentConfig;
    log: Log;
    kernel: Kernel;
    names: AddressNames;
    policy: PolicyPart;
    endpoints: Pick<Table<Endpoint>, "watch">;
  },
): ObserverPart {
  const { maps, facts, sockmap } = kernel;
  const podOf = (ip: string) => names.get(ip);
  const stack = new DisposableStack();
  const clock = new EventClock();
  const flows = new FlowRing({
    format: new EventFormat({ node: config.nodeName, clock, podOf }),
    podOf,
    capacity: config.flowBuffer,
    made: new Map([[FlowType.AGENT, AGENT_EVENTS]]),
  });
  const reader = stack.use(new FlowReader({ events: maps.pilus_events, clock, flows }));
  const report = agentEvents(flows, config.nodeName);
  const lost = new LostEvents(maps.pilus_lost, report);
  stack.use(
    periodically(
      LOST_INTERVAL_MS,
      () => lost.look(),
      (error) => log.error("counters of lost events not read", { error: String(error) }),
    ),
  );
  stack.use(endpoints.watch(endpointEvents(report)));
  const interfaceName = (ifindex: number) =>
    facts.links.get(String(ifindex))?.name ?? String(ifindex);
  const views = new FlowViews({
    labels,
    rule,
    pod: podOf,
    interface: interfaceName,
  });
  const trace = (traceLevel: number) =>
    maps.pilus_runtime.set(0, { traceLevel, sockmap: Number(sockmap.on) });
  trace(TraceLevel.LEVEL_CONNECTIONS);

  return {
    name: "observer",
    flows,
    interfaceName,
    routes: {
      "GET /v1/monitor": monitorRoute(flows, views),
      "GET /v1/trace-level": () => {
        const { traceLevel } = maps.pilus_runtime.get(0)!;
        return { level: [...LEVELS].find(([, number]) => number === traceLevel)?.[0] };
      },
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
      ...flowMetrics(flows, lost),
    ],
    status: () => ({ events: { seen: reader.seen, lost: lost.total } }),
    [Symbol.asyncDispose]: () => Promise.resolve(stack.dispose()),
  };
}
