/** What is counted about flows, by type. */

import type { MetricRow } from "../../api/metrics_text.ts";
import { TYPE_NAMES } from "../../flows/names.ts";
import { counter } from "../metrics.ts";
import type { FlowReader } from "./flow_reader.ts";

/** The counters of a reader. */
export function flowMetrics(reader: FlowReader): MetricRow[] {
  const name = (type: number) => TYPE_NAMES.get(type) ?? String(type);
  return [
    ...reader.flows.seen().map(({ type, count }) =>
      counter("events_seen_total", "Events that were kept", count, { type: name(type) })
    ),
    ...reader.lost().map(({ type, count }) =>
      counter("events_lost_total", "Events that found no room in the buffer", count, {
        type: name(type),
      })
    ),
    ...reader.flows.missed().map(({ consumer, type, count }) =>
      counter("events_missed_total", "Events that a consumer was too slow for", count, {
        type: name(type),
        consumer,
      })
    ),
  ];
}
