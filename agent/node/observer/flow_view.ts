/** Flows as people and the API read them. */

import {
  type AgentFlow,
  type Flow,
  FlowType,
  type PacketEnd,
  type PacketFlow,
  Verdict,
} from "../../flows/flow.ts";
import {
  AGENT_EVENT_NAMES,
  DIRECTION_NAMES,
  moreAbout,
  POINT_NAMES,
  reasonText,
  STATUS_NAMES,
  tcpFlagsText,
  TYPE_NAMES,
} from "../../flows/names.ts";
import { hasPorts, protocolName, PROTOCOLS } from "../../core/protocols.ts";
import type { AgentEventView, FlowEnd, FlowView } from "../../api/views.ts";
import { TimeTexts } from "./time_texts.ts";

/** What flows are shown with beside their own numbers. */
export interface FlowNames {
  /** Labels of an identity. */
  labels(identity: number): string[] | undefined;
  /** `namespace/pod` of an address. */
  pod(ip: string): string | undefined;
  interface(ifindex: number): string;
  /** The rule behind a cookie. */
  rule(cookie: number): string | undefined;
}

const ICMP_PROTOCOLS = new Set<number>([PROTOCOLS.ICMP, PROTOCOLS.ICMPv6]);

/** Makes views of flows. */
export class FlowViews {
  readonly #names: FlowNames;
  readonly #times = new TimeTexts();

  constructor(names: FlowNames) {
    this.#names = names;
  }

  toView(flow: Flow): FlowView | AgentEventView {
    return flow.kind === "packet" ? this.#packet(flow) : this.#agentEvent(flow);
  }

  #packet(flow: PacketFlow): FlowView {
    const { type, protocol, cookie, reason, endpoint } = flow;
    const ports = hasPorts(protocol);
    const view: FlowView = {
      time: this.#times.text(flow.seconds, flow.nanoseconds),
      type: (TYPE_NAMES.get(type) ?? String(type)) as FlowView["type"],
      verdict: flow.verdict === Verdict.DROPPED ? "dropped" : "forwarded",
      point: POINT_NAMES.get(flow.point) ?? String(flow.point),
      status: STATUS_NAMES.get(flow.status) ?? String(flow.status),
      interface: this.#names.interface(flow.ifindex),
      protocol: flow.family === 0 ? "non-IP" : protocolName(protocol),
      source: this.#end(flow.source, ports),
      destination: this.#end(flow.destination, ports),
      length: flow.length,
    };
    if (type === FlowType.DROP) {
      view.reasonCode = reason;
      view.reason = reasonText(reason);
      const more = moreAbout(reason, endpoint);
      if (more !== undefined) view.more = more;
    }
    if (endpoint !== 0) view.endpoint = endpoint;
    if (protocol === PROTOCOLS.TCP) view.tcpFlags = tcpFlagsText(flow.tcpFlags);
    if (ICMP_PROTOCOLS.has(protocol)) view.icmpType = flow.icmpType;
    if (cookie !== 0) {
      view.direction = DIRECTION_NAMES[flow.direction & 1]!;
      view.rule = { cookie, text: this.#names.rule(cookie) ?? `cookie ${cookie}` };
    }
    return view;
  }

  #end({ ip, identity, port }: PacketEnd, ports: boolean): FlowEnd {
    const end: FlowEnd = { ip, identity };
    if (ports) end.port = port;
    const pod = this.#names.pod(ip);
    if (pod !== undefined) end.pod = pod;
    const labels = this.#names.labels(identity);
    if (labels !== undefined) end.labels = labels;
    return end;
  }

  #agentEvent({ seconds, nanoseconds, event, text }: AgentFlow): AgentEventView {
    return {
      time: this.#times.text(seconds, nanoseconds),
      type: "agent",
      event: AGENT_EVENT_NAMES.get(event) ?? String(event),
      text,
    };
  }
}
