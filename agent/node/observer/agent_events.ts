/** Events of the agent among flows. */

import { FlowType } from "../../flows/flow.ts";
import type { FlowRing } from "../../flows/flow_ring.ts";

/** Keeps an event of the agent, one of `AgentEvent`; `text`: what it is about, for people. */
export type ReportEvent = (event: number, text: string) => void;

/** A function that keeps events of the agent in `flows`. */
export function agentEvents(flows: Pick<FlowRing, "push">, node: string): ReportEvent {
  return (event, text) => {
    const now = Date.now();
    flows.push({
      kind: "agent",
      type: FlowType.AGENT,
      seconds: Math.floor(now / 1000),
      nanoseconds: now % 1000 * 1_000_000,
      node,
      event,
      text,
    });
  };
}
