/** The answer of `GetAgentEvents`. */

import { AgentEvent, type AgentFlow, FlowType } from "../flows/flow.ts";
import type { FlowRing } from "../flows/flow_ring.ts";
import { eventBatches, eventRange } from "./event_stream.ts";
import type { FlowMaker } from "./flow_maker.ts";
import { HubbleAgentEvent, type StreamRequest } from "./flow_message.ts";
import { encode } from "./messages.ts";

/** Events of the agent as they are asked for; those that were overwritten are left out. */
export async function* agentEventStream(
  ring: FlowRing,
  { node }: FlowMaker,
  request: StreamRequest,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array[]> {
  const range = eventRange(request);
  using cursor = ring.cursor({
    consumer: "hubble",
    filter: { types: [FlowType.AGENT] },
    follow: range.follow,
  });
  for await (const { flows } of eventBatches(cursor, range, signal)) {
    yield flows.filter((flow) => flow.kind === "agent").map((flow) =>
      encode("observer.GetAgentEventsResponse", {
        agent_event: eventMessage(flow),
        node_name: node,
        time: { seconds: flow.seconds, nanos: flow.nanoseconds },
      })
    );
  }
}

function eventMessage({ event, text, endpoint }: AgentFlow): object {
  if (!endpoint) {
    const type = HubbleAgentEvent.UNKNOWN;
    return { type, unknown: { type: "pilus", notification: text } };
  }
  const { id, namespace, pod } = endpoint;
  return {
    type: event === AgentEvent.ENDPOINT_CREATED
      ? HubbleAgentEvent.ENDPOINT_CREATED
      : HubbleAgentEvent.ENDPOINT_DELETED,
    endpoint_update: { id, namespace, pod_name: pod },
  };
}
