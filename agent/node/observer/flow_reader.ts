/** Drains the programs' events into the ring of flows. */

import { type BpfMap, RingBuffer, type TypedMap } from "../../../datapath/bpf/mod.ts";
import { eventHeaderOffsets } from "../../../datapath/maps/generated.ts";
import type { Timer } from "../../core/timer.ts";
import { AgentEvent, FlowType } from "../../flows/flow.ts";
import { FlowRing } from "../../flows/flow_ring.ts";
import type { PodOf } from "../../flows/flow_filter.ts";
import { TYPE_NAMES } from "../../flows/names.ts";
import { EventClock } from "./event_clock.ts";
import { EventFormat } from "./event_format.ts";

/** Milliseconds between two looks at the buffer, the fuller it is found the fewer. */
const GATHER_MS = { least: 1, most: 20 } as const;

/** The share of the buffer that is to be found in use; traces and verdicts may use three quarters. */
const GATHER_SHARE = 1 / 16;

/** Milliseconds between two looks at the counters of lost events. */
const LOST_INTERVAL_MS = 1000;

/** Options for {@linkcode FlowReader}. */
export interface FlowReaderOptions {
  /** The map pilus_events. */
  events: BpfMap;
  /** Events that found no room there, by type and CPU. */
  lost: TypedMap<number, bigint[]>;
  node: string;
  podOf: PodOf;
  /** Flows of each type that are kept; see `FlowRingOptions`. */
  capacity: number;
}

/** Drains the buffer for as long as it lives. */
export class FlowReader implements Disposable {
  readonly flows: FlowRing;
  readonly #node: string;
  readonly #buffer: RingBuffer;
  readonly #lost: TypedMap<number, bigint[]>;
  readonly #clock = new EventClock();
  /** Lost events that there is a flow about. */
  readonly #reported = new Map<number, number>();
  #seen = 0;
  #pause: number = GATHER_MS.most;
  #timer: Timer | undefined;
  readonly #lostTimer: Timer;
  #stopped = false;

  constructor({ events, lost, node, podOf, capacity }: FlowReaderOptions) {
    this.#node = node;
    this.#buffer = new RingBuffer(events);
    this.#lost = lost;
    this.#clock.sync();
    this.flows = new FlowRing({
      format: new EventFormat({ node, clock: this.#clock, podOf }),
      podOf,
      capacity,
    });
    for (const { type, count } of this.lost()) this.#reported.set(type, count);
    this.#lostTimer = setInterval(() => this.#reportLost(), LOST_INTERVAL_MS);
    void this.#turn();
  }

  /** Events drained since the start. */
  get seen(): number {
    return this.#seen;
  }

  /** Events that found no room in the buffer, since the map exists, by type. */
  lost(): { type: number; count: number }[] {
    return [...this.#lost.entries()]
      .map(([type, perCpu]) => ({ type, count: Number(perCpu.reduce((sum, n) => sum + n, 0n)) }))
      .filter(({ count }) => count > 0);
  }

  get lostTotal(): number {
    return this.lost().reduce((sum, { count }) => sum + count, 0);
  }

  /** Keeps an event of the agent. */
  report(event: number, text: string): void {
    const now = Date.now();
    this.flows.push({
      kind: "agent",
      type: FlowType.AGENT,
      seconds: Math.floor(now / 1000),
      nanoseconds: now % 1000 * 1_000_000,
      node: this.#node,
      event,
      text,
    });
  }

  /** One look at the buffer, and the next one when there may be something again. */
  async #turn(): Promise<void> {
    if (this.#buffer.pending === 0) await this.#buffer.wait(1000);
    if (this.#stopped) return;
    const used = this.#buffer.pending / this.#buffer.size;
    // of more than half of what is kept, readers could miss some before they had a turn
    const most = this.flows.capacity / 2;
    const read = this.#buffer.drain(this.#push, most);
    this.#seen += read;
    this.#clock.sync();
    this.flows.notify();
    // a wake-up costs the sender more than its event: many gather for the next one
    const { least, most: longest } = GATHER_MS;
    this.#pause = Math.min(longest, Math.max(least, this.#pause * GATHER_SHARE / used));
    this.#timer = setTimeout(() => void this.#turn(), read === most ? 0 : this.#pause);
  }

  #push = (view: DataView, offset: number): void => {
    this.flows.pushRecord(view.getUint8(offset + eventHeaderOffsets.type), view, offset);
  };

  #reportLost(): void {
    for (const { type, count } of this.lost()) {
      const more = count - (this.#reported.get(type) ?? 0);
      if (more <= 0) continue;
      this.#reported.set(type, count);
      this.report(
        AgentEvent.EVENTS_LOST,
        `${more} of type ${TYPE_NAMES.get(type) ?? type} found no room in pilus_events: ` +
          "make it larger with --map-size pilus_events",
      );
    }
  }

  [Symbol.dispose](): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    clearInterval(this.#lostTimer);
    this.#buffer[Symbol.dispose]();
  }
}
