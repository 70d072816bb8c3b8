/** Events of the agent among flows. */

import { type AgentFlow, FlowType } from "../../flows/flow.ts";
import type { FlowRing } from "../../flows/flow_ring.ts";

/** Keeps an event of the agent, one of `AgentEvent`; `text`: what it is about, for people. */
export type ReportEvent = (
  event: number,
  text: string,
  about?: Pick<AgentFlow, "count" | "endpoint">,
) => void;

/** A function that keeps events of the agent in `flows`. */
export function agentEvents(flows: Pick<FlowRing, "push">, node: string): ReportEvent {
  return (event, text, about = {}) => {
    const now = Date.now();
    flows.push({
      kind: "agent",
      type: FlowType.AGENT,
      seconds: Math.floor(now / 1000),
      nanoseconds: now % 1000 * 1_000_000,
      node,
      event,
      text,
      ...about,
    });
  };
}
