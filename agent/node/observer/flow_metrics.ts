/** What is counted about flows, by type. */

import type { MetricRow } from "../../api/metrics_text.ts";
import type { FlowRing } from "../../flows/flow_ring.ts";
import { TYPE_NAMES } from "../../flows/names.ts";
import { counter } from "../metrics.ts";
import type { LostEvents } from "./lost_events.ts";

/** The counters of the ring and of what never came there. */
export function flowMetrics(
  flows: Pick<FlowRing, "seen" | "missed">,
  lost: Pick<LostEvents, "rows">,
): MetricRow[] {
  const name = (type: number) => TYPE_NAMES.get(type) ?? String(type);
  return [
    ...flows.seen().map(({ type, count }) =>
      counter("events_seen_total", "Events that were kept", count, { type: name(type) })
    ),
    ...lost.rows().map(({ type, count }) =>
      counter("events_lost_total", "Events that found no room in the buffer", count, {
        type: name(type),
      })
    ),
    ...flows.missed().map(({ consumer, type, count }) =>
      counter("events_missed_total", "Events that a consumer was too slow for", count, {
        type: name(type),
        consumer,
      })
    ),
  ];
}
