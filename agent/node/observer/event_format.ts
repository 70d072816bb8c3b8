/** Events of the programs as flows. Reads from an event's bytes only what a flow has. */

import {
  event,
  eventHeaderOffsets,
  eventOffsets,
  EventType,
} from "../../../datapath/maps/generated.ts";
import { hasPorts } from "../../core/protocols.ts";
import { type Flow, PACKET_TYPES, Verdict } from "../../flows/flow.ts";
import type { FlowFilter, PodOf } from "../../flows/flow_filter.ts";
import type { RecordFormat } from "../../flows/record_format.ts";
import { AddressTexts } from "./address_texts.ts";
import type { EventClock } from "./event_clock.ts";
import { eventFilter } from "./event_filter.ts";

const at = eventOffsets, header = eventHeaderOffsets;

/** Options for {@linkcode EventFormat}. */
export interface EventFormatOptions {
  node: string;
  clock: EventClock;
  podOf: PodOf;
}

export class EventFormat implements RecordFormat {
  readonly size = event.size;
  readonly types = PACKET_TYPES;
  readonly #node: string;
  readonly #clock: EventClock;
  readonly #podOf: PodOf;
  readonly #addresses = new AddressTexts();

  constructor({ node, clock, podOf }: EventFormatOptions) {
    this.#node = node;
    this.#clock = clock;
    this.#podOf = podOf;
  }

  decode(view: DataView, offset: number): Flow {
    const type = view.getUint8(offset + header.type);
    const protocol = view.getUint8(offset + at.protocol);
    const ports = hasPorts(protocol);
    this.#clock.read(view, offset + header.time);
    return {
      kind: "packet",
      type,
      seconds: this.#clock.seconds,
      nanoseconds: this.#clock.nanoseconds,
      node: this.#node,
      verdict: type === EventType.DROP ? Verdict.DROPPED : Verdict.FORWARDED,
      reason: view.getUint8(offset + at.reason),
      point: view.getUint8(offset + at.point),
      status: view.getUint8(offset + at.status),
      direction: view.getUint8(offset + at.direction),
      cookie: view.getUint32(offset + at.cookie, true),
      endpoint: view.getUint16(offset + at.endpoint, true),
      ifindex: view.getUint32(offset + at.ifindex, true),
      family: view.getUint8(offset + at.family),
      protocol,
      source: {
        ip: this.#addresses.text(view, offset + at.source),
        identity: view.getUint32(offset + at.sourceIdentity, true),
        port: ports ? view.getUint16(offset + at.sourcePort) : 0,
      },
      destination: {
        ip: this.#addresses.text(view, offset + at.destination),
        identity: view.getUint32(offset + at.destinationIdentity, true),
        port: ports ? view.getUint16(offset + at.destinationPort) : 0,
      },
      tcpFlags: view.getUint8(offset + at.tcpFlags),
      icmpType: view.getUint8(offset + at.icmpType),
      length: view.getUint32(offset + at.length, true),
    };
  }

  time(view: DataView, offset: number): number {
    this.#clock.read(view, offset + header.time);
    return this.#clock.seconds * 1000 + this.#clock.nanoseconds / 1e6;
  }

  filter(filter: FlowFilter): (view: DataView, offset: number) => boolean {
    return eventFilter(filter, this.#addresses, this.#podOf);
  }
}
