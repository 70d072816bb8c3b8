/** What the node has seen, as numbers: words are made where people read (names.ts). */

/** Types of flows. Those below 128 are `enum event_type` of the programs. */
export const FlowType = {
  DROP: 1,
  TRACE: 2,
  VERDICT: 3,
  /** Not a packet: an event of the agent. */
  AGENT: 128,
} as const;

/** The types of flows that are packets. */
export const PACKET_TYPES: readonly number[] = [FlowType.DROP, FlowType.TRACE, FlowType.VERDICT];

/** Verdicts, by the numbers of Hubble's `flow.Verdict`. */
export const Verdict = { FORWARDED: 1, DROPPED: 2 } as const;

/** Events of the agent. */
export const AgentEvent = {
  /** An endpoint is ready. */
  ENDPOINT_CREATED: 1,
  /** It is not any more. */
  ENDPOINT_DELETED: 2,
  /** Events of the programs that found no room in their buffer. */
  EVENTS_LOST: 3,
} as const;

/** What all kinds of flows have. */
interface FlowBase {
  /** One of {@linkcode FlowType}. */
  type: number;
  /** When: since 1970, and the nanoseconds of that second. */
  seconds: number;
  nanoseconds: number;
  /** Name of the node. */
  node: string;
}

/** One end of a packet's flow. */
export interface PacketEnd {
  /** Text in the form of `formatIp`. */
  ip: string;
  identity: number;
  /** 0 when the protocol has no ports. */
  port: number;
}

/** A packet that was dropped, traced or decided about. */
export interface PacketFlow extends FlowBase {
  kind: "packet";
  /** One of {@linkcode Verdict}. */
  verdict: number;
  /** Drop reason; 0: none. */
  reason: number;
  /** Where it was seen. */
  point: number;
  /** Status of its connection. */
  status: number;
  /** Policy direction, 0: ingress, 1: egress; it counts only with a cookie. */
  direction: number;
  /** Of the deciding rule; 0: none. */
  cookie: number;
  /** Id of the endpoint whose program or policy decided; 0: none. */
  endpoint: number;
  ifindex: number;
  /** 4 or 6; 0: the packet is not IP. */
  family: number;
  /** IANA protocol number. */
  protocol: number;
  source: PacketEnd;
  destination: PacketEnd;
  tcpFlags: number;
  icmpType: number;
  /** Bytes of the packet. */
  length: number;
}

/** An event of the agent. */
export interface AgentFlow extends FlowBase {
  kind: "agent";
  /** One of {@linkcode AgentEvent}. */
  event: number;
  /** What it is about, for people: an endpoint, a count. */
  text: string;
  /** Events that were lost, of EVENTS_LOST. */
  count?: number;
  /** What came or went, of ENDPOINT_CREATED and ENDPOINT_DELETED; names are empty when unknown. */
  endpoint?: { id: number; namespace: string; pod: string };
}

/** A flow, by its kind. */
export type Flow = PacketFlow | AgentFlow;
