/** `GET /v1/monitor` */

import { type FlowQuery, parseFlowQuery } from "../../api/flow_query.ts";
import type { ApiHandler } from "../../api/server.ts";
import type { AgentEventView, FlowView } from "../../api/views.ts";
import type { FlowRing } from "../../flows/flow_ring.ts";
import type { FlowViews } from "./flow_view.ts";

/** Flows as they come, some at a time, for as long as the client listens; a slow one loses the oldest. */
export function monitorRoute(flows: FlowRing, views: FlowViews): ApiHandler {
  return ({ query, signal }) => stream(flows, views, parseFlowQuery(query), signal);
}

async function* stream(
  flows: FlowRing,
  views: FlowViews,
  { limit, ...options }: FlowQuery,
  signal: AbortSignal,
): AsyncGenerator<(FlowView | AgentEventView)[]> {
  using cursor = flows.cursor({ consumer: "monitor", ...options });
  for (let left = limit ?? Infinity; left > 0;) {
    const taken = await cursor.take(signal, left);
    if (taken.length === 0) return;
    left -= taken.length;
    yield taken.map((flow) => views.toView(flow));
  }
}
