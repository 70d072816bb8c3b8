import { assertEquals } from "@std/assert";
import { FlowType } from "../../flows/flow.ts";
import { flowMetrics } from "./flow_metrics.ts";

Deno.test("flowMetrics() counts what was seen, lost and missed, by type and consumer", () => {
  const { DROP, TRACE } = FlowType;
  const rows = flowMetrics(
    {
      seen: () => [{ type: DROP, count: 3 }, { type: TRACE, count: 0 }],
      missed: () => [{ consumer: "monitor", type: DROP, count: 2 }],
    },
    { rows: () => [{ type: TRACE, count: 9 }] },
  );
  assertEquals(rows.map(({ name, labels, value }) => [name, labels, value]), [
    ["pilus_events_seen_total", { type: "drop" }, 3],
    ["pilus_events_seen_total", { type: "trace" }, 0],
    ["pilus_events_lost_total", { type: "trace" }, 9],
    ["pilus_events_missed_total", { type: "drop", consumer: "monitor" }, 2],
  ]);
});
