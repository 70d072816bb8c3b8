/** Everything that is counted. The names are Cilium's with our prefix. */

import { formatIp } from "../../../datapath/net/ip.ts";
import { derivationFailureTotals } from "../../core/derivation_failures.ts";
import { METRIC_DIRECTIONS, reasonText } from "../observer/names.ts";
import type { AgentState } from "./agent_state.ts";
import { rowsInUse } from "./map_usage.ts";
import type { MetricRow } from "../../api/metrics_text.ts";

/** What the programs have counted, by `enum drop_reason` (0: forwarded) and direction. */
export function packetTotals(agent: Pick<AgentState, "maps">) {
  return [...agent.maps.pilus_metrics.entries()].map(([index, perCpu]) => ({
    reason: index >> 1,
    direction: METRIC_DIRECTIONS[index & 1]!,
    packets: Number(perCpu.reduce((sum, { packets }) => sum + packets, 0n)),
    bytes: Number(perCpu.reduce((sum, { bytes }) => sum + bytes, 0n)),
  })).filter(({ packets }) => packets > 0);
}

/** Everything that the agent counts, now. */
export async function metricRows(agent: AgentState): Promise<MetricRow[]> {
  const rows: MetricRow[] = [];
  const add = (
    type: MetricRow["type"],
    name: string,
    help: string,
    value: number,
    labels: Record<string, string> = {},
  ) => rows.push({ name: `pilus_${name}`, type, help, labels, value });

  for (const { reason, direction, packets, bytes } of packetTotals(agent)) {
    if (reason === 0) {
      add("counter", "forward_count_total", "Packets forwarded", packets, { direction });
      add("counter", "forward_bytes_total", "Bytes forwarded", bytes, { direction });
    } else {
      const labels = { reason: reasonText(reason), direction };
      add("counter", "drop_count_total", "Packets dropped", packets, labels);
      add("counter", "drop_bytes_total", "Bytes dropped", bytes, labels);
    }
  }

  const states = Object.groupBy(agent.manager.table.rows(), ({ state }) => state);
  for (const [state, list] of Object.entries(states)) {
    add("gauge", "endpoint_state", "Endpoints by state", list?.length ?? 0, { state });
  }
  add("gauge", "identity", "Identities known", agent.model.policyTables.identities.size);
  add("gauge", "policy", "Policies in force", agent.model.policyTables.compiled.size);
  for (const { family, range, used, capacity } of agent.manager.usage()) {
    const labels = { family: String(family), range };
    add("gauge", "ip_addresses", "Addresses given to pods", Number(used), labels);
    add("gauge", "ipam_capacity", "Addresses there are for pods", Number(capacity), labels);
  }
  for (const { name, rows: count, pending, errors, repairs } of agent.reconcilers()) {
    const labels = { reconciler: name };
    add("gauge", "reconciler_rows", "Rows desired", count, labels);
    add("gauge", "reconciler_pending", "Rows still to be applied", pending, labels);
    add("gauge", "reconciler_errors", "Rows that cannot be applied", errors, labels);
    add("counter", "reconciler_repairs_total", "Rows found changed and put right", repairs, labels);
  }
  for (const [table, count] of derivationFailureTotals()) {
    const help = "Runs that failed and kept the rows from before";
    add("counter", "derivation_failures_total", help, count, { table });
  }
  for (
    const name of [
      "pilus_ct",
      "pilus_nat",
      "pilus_rules",
      "pilus_ipcache",
      "pilus_services",
      "pilus_backends",
      "pilus_maglev",
      "pilus_denied",
    ] as const
  ) {
    const map = agent.maps[name];
    const labels = { map_name: name };
    const pressure = (await rowsInUse(agent, map) ?? 0) / map.maxEntries;
    add("gauge", "bpf_map_pressure", "Share of rows in use", pressure, labels);
    add("gauge", "bpf_map_capacity", "Rows there is room for", map.maxEntries, labels);
  }
  add("counter", "events_seen_total", "Events read from the ring buffer", agent.flows.seen);
  add("counter", "events_lost_total", "Events that found no room", agent.flows.lost);
  add(
    "counter",
    "events_missed_total",
    "Events that monitors were too slow for",
    agent.flows.missed,
  );
  const self = agent.model.self;
  add("gauge", "node_info", "This node", 1, {
    node: agent.config.nodeName,
    routing: agent.config.routing,
    ...(self?.ipv4 ? { ipv4: formatIp(self.ipv4) } : {}),
  });
  add("gauge", "process_resident_memory_bytes", "Memory of the agent", Deno.memoryUsage().rss);
  return rows;
}
