/** The events of the programs as flows, for those who listen. Without listeners they are only counted. */

import { RingBuffer, type TypedMap } from "../../datapath/bpf/mod.ts";
import type { BpfMap } from "../../datapath/bpf/mod.ts";
import { monotonicNs } from "../../datapath/ffi/libc.ts";
import { type Event, event as eventCodec, EventType } from "../../datapath/maps/generated.ts";
import { formatIp } from "../../datapath/net/ip.ts";
import type { FlowEnd, FlowView } from "../api/views.ts";
import {
  eventTypeName,
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

export type FlowListener = (flow: FlowView) => void;

/** Events read before others have their turn. */
const BATCH = 4096;

/** Milliseconds between two looks at a buffer that was read to its end. */
const GATHER_MS = 20;

const PORT_PROTOCOLS = new Set([6, 17, 132]);

/** A flow from an event. `bootTime`: nanoseconds since 1970 of CLOCK_MONOTONIC's zero. */
export function flowOf(e: Event, names: FlowNames, bootTime: bigint): FlowView {
  const ports = PORT_PROTOCOLS.has(e.protocol);
  const end = (address: Uint8Array, port: number, identity: number): FlowEnd => {
    const ip = formatIp(address);
    const pod = names.pod(ip);
    const labels = names.labels(identity);
    return {
      ip,
      ...(ports ? { port } : {}),
      identity,
      ...(pod ? { pod } : {}),
      ...(labels ? { labels } : {}),
    };
  };
  const dropped = e.type === EventType.DROP;
  const judged = e.cookie !== 0;
  return {
    time: formatTime(bootTime + e.time),
    type: eventTypeName(e.type) as FlowView["type"],
    verdict: dropped ? "dropped" : "forwarded",
    ...(dropped ? { reason: reasonText(e.reason), reasonCode: e.reason } : {}),
    point: pointName(e.point),
    status: statusName(e.status),
    ...(judged ? { direction: e.direction === 0 ? "ingress" : "egress" } : {}),
    ...(e.endpoint ? { endpoint: e.endpoint } : {}),
    interface: names.interface(e.ifindex),
    protocol: e.family === 0 ? "non-IP" : protocolName(e.protocol),
    source: end(e.source, e.sourcePort, e.sourceIdentity),
    destination: end(e.destination, e.destinationPort, e.destinationIdentity),
    ...(e.protocol === 6 ? { tcpFlags: tcpFlagsText(e.tcpFlags) } : {}),
    ...(e.protocol === 1 || e.protocol === 58 ? { icmpType: e.icmpType } : {}),
    length: e.length,
    ...(judged
      ? { rule: { cookie: e.cookie, text: names.rule(e.cookie) ?? `cookie ${e.cookie}` } }
      : {}),
  };
}

function formatTime(ns: bigint): string {
  const ms = Number(ns / 1_000_000n);
  const rest = (ns % 1_000_000n).toString().padStart(6, "0");
  return new Date(ms).toISOString().replace("Z", `${rest}Z`);
}

/** Drains the ring buffer for as long as it lives. */
export class FlowReader implements Disposable {
  readonly #ring: RingBuffer;
  readonly #names: FlowNames;
  readonly #lost: TypedMap<number, bigint[]>;
  readonly #listeners = new Set<FlowListener>();
  #seen = 0;
  #stopped = false;

  constructor(events: BpfMap, lost: TypedMap<number, bigint[]>, names: FlowNames) {
    this.#ring = new RingBuffer(events);
    this.#lost = lost;
    this.#names = names;
    void this.#run();
  }

  /** Events drained since the start. */
  get seen(): number {
    return this.#seen;
  }

  /** Events that found no room in the buffer, since the map exists. */
  get lost(): number {
    let sum = 0n;
    for (const [, perCpu] of this.#lost.entries()) for (const n of perCpu) sum += n;
    return Number(sum);
  }

  /** Tells `listener` of each flow until disposed of. */
  listen(listener: FlowListener): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      await this.#ring.wait(1000);
      if (this.#stopped) return;
      const bootTime = BigInt(Date.now()) * 1_000_000n - monotonicNs();
      const drained = this.#ring.drain((view, offset) => {
        if (this.#listeners.size === 0) return;
        const flow = flowOf(eventCodec.decode(view, offset), this.#names, bootTime);
        for (const listener of this.#listeners) listener(flow);
      }, BATCH);
      this.#seen += drained;
      // a wake-up costs the sender more than its event: many gather for the next one
      const pause = drained < BATCH ? GATHER_MS : 0;
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }

  [Symbol.dispose](): void {
    this.#stopped = true;
    this.#ring[Symbol.dispose]();
  }
}
