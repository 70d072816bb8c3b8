/** Endpoints that come and go, as events of the agent. */

import type { Endpoint } from "../../api/endpoint.ts";
import type { Listener } from "../../core/table.ts";
import { AgentEvent } from "../../flows/flow.ts";
import type { ReportEvent } from "./agent_events.ts";

/** A watcher of the table of endpoints that reports those that become ready and those that end. */
export function endpointEvents(report: ReportEvent): Listener<Endpoint> {
  return (changes) => {
    for (const change of changes) {
      const before = change.kind !== "added" && change.previous.state === "ready";
      const now = change.kind !== "deleted" && change.row.state === "ready";
      if (before === now) continue;
      const { id, namespace, pod } = change.kind === "deleted" ? change.previous : change.row;
      report(
        now ? AgentEvent.ENDPOINT_CREATED : AgentEvent.ENDPOINT_DELETED,
        `endpoint ${id}${pod ? ` of ${namespace}/${pod}` : ""}`,
        { endpoint: { id, namespace, pod } },
      );
    }
  };
}
