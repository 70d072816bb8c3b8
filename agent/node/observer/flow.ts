/** Events as flows. Reads from the event's bytes only what a flow tells. */

import { eventOffsets, EventType, PolicyDirection } from "../../../datapath/maps/generated.ts";
import type { FlowEnd, FlowView } from "../../api/views.ts";
import { AddressTexts } from "./address_texts.ts";
import type { EventClock } from "./event_clock.ts";
import {
  eventTypeName,
  lookFurther,
  pointName,
  protocolName,
  reasonText,
  statusName,
  tcpFlagsText,
} from "./names.ts";

/** What flows are told with beside the event itself. */
export interface FlowNames {
  /** Labels of an identity. */
  labels(identity: number): string[] | undefined;
  /** `namespace/pod` of an address. */
  pod(ip: string): string | undefined;
  interface(ifindex: number): string;
  /** The rule behind a cookie. */
  rule(cookie: number): string | undefined;
}

const TCP = 6, PORT_PROTOCOLS = new Set([TCP, 17, 132]), ICMP_PROTOCOLS = new Set([1, 58]);

const at = eventOffsets;

/** Makes flows of events. */
export class FlowDecoder {
  readonly #names: FlowNames;
  readonly #clock: EventClock;
  readonly #addresses = new AddressTexts();

  constructor(names: FlowNames, clock: EventClock) {
    this.#names = names;
    this.#clock = clock;
  }

  /** The flow of the event at `offset`. */
  decode(view: DataView, offset: number): FlowView {
    const type = view.getUint8(offset + at.type);
    const cookie = view.getUint32(offset + at.cookie, true);
    const endpoint = view.getUint16(offset + at.endpoint, true);
    const protocol = view.getUint8(offset + at.protocol);
    const ports = PORT_PROTOCOLS.has(protocol);
    const flow: FlowView = {
      time: this.#clock.text(view, offset + at.time),
      type: eventTypeName(type) as FlowView["type"],
      verdict: type === EventType.DROP ? "dropped" : "forwarded",
      point: pointName(view.getUint8(offset + at.point)),
      status: statusName(view.getUint8(offset + at.status)),
      interface: this.#names.interface(view.getUint32(offset + at.ifindex, true)),
      protocol: view.getUint8(offset + at.family) === 0 ? "non-IP" : protocolName(protocol),
      source: this.#end(
        this.#addresses.text(view, offset + at.source),
        view.getUint32(offset + at.sourceIdentity, true),
        ports ? view.getUint16(offset + at.sourcePort) : undefined,
      ),
      destination: this.#end(
        this.#addresses.text(view, offset + at.destination),
        view.getUint32(offset + at.destinationIdentity, true),
        ports ? view.getUint16(offset + at.destinationPort) : undefined,
      ),
      length: view.getUint32(offset + at.length, true),
    };
    if (type === EventType.DROP) {
      flow.reasonCode = view.getUint8(offset + at.reason);
      flow.reason = reasonText(flow.reasonCode);
      const more = lookFurther(flow.reasonCode, endpoint);
      if (more !== undefined) flow.more = more;
    }
    if (endpoint !== 0) flow.endpoint = endpoint;
    if (protocol === TCP) flow.tcpFlags = tcpFlagsText(view.getUint8(offset + at.tcpFlags));
    if (ICMP_PROTOCOLS.has(protocol)) flow.icmpType = view.getUint8(offset + at.icmpType);
    if (cookie !== 0) {
      const ingress = view.getUint8(offset + at.direction) === PolicyDirection.INGRESS;
      flow.direction = ingress ? "ingress" : "egress";
      flow.rule = { cookie, text: this.#names.rule(cookie) ?? `cookie ${cookie}` };
    }
    return flow;
  }

  #end(ip: string, identity: number, port: number | undefined): FlowEnd {
    const end: FlowEnd = { ip, identity };
    if (port !== undefined) end.port = port;
    const pod = this.#names.pod(ip);
    if (pod !== undefined) end.pod = pod;
    const labels = this.#names.labels(identity);
    if (labels !== undefined) end.labels = labels;
    return end;
  }
}
