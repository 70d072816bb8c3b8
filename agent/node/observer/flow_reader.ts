/** Drains the programs' events into the ring of flows. */

import { type BpfMap, RingBuffer } from "../../../datapath/bpf/mod.ts";
import { eventHeaderOffsets } from "../../../datapath/maps/generated.ts";
import type { Timer } from "../../core/timer.ts";
import type { FlowRing } from "../../flows/flow_ring.ts";
import type { EventClock } from "./event_clock.ts";

/** Milliseconds between two looks at the buffer, the fuller it is found the fewer. */
const GATHER_MS = { least: 1, most: 20 } as const;

/** The share of the buffer that is to be found in use; traces and verdicts may use three quarters. */
const GATHER_SHARE = 1 / 16;

/** Options for {@linkcode FlowReader}. */
export interface FlowReaderOptions {
  /** The map pilus_events. */
  events: BpfMap;
  /** The clock of the ring's format; it is kept in step with the kernel's. */
  clock: EventClock;
  flows: FlowRing;
}

/** Drains the buffer for as long as it lives. */
export class FlowReader implements Disposable {
  readonly #buffer: RingBuffer;
  readonly #clock: EventClock;
  readonly #flows: FlowRing;
  #seen = 0;
  #pause: number = GATHER_MS.most;
  #timer: Timer | undefined;
  #stopped = false;

  constructor({ events, clock, flows }: FlowReaderOptions) {
    this.#buffer = new RingBuffer(events);
    this.#clock = clock;
    this.#flows = flows;
    this.#clock.sync();
    void this.#turn();
  }

  /** Events drained since the start. */
  get seen(): number {
    return this.#seen;
  }

  /** One look at the buffer, and the next one when there may be something again. */
  async #turn(): Promise<void> {
    if (this.#buffer.pending === 0) await this.#buffer.wait(1000);
    if (this.#stopped) return;
    const used = this.#buffer.pending / this.#buffer.size;
    // of more than half of what is kept, readers could miss some before they had a turn
    const most = this.#flows.capacity / 2;
    const read = this.#buffer.drain(this.#push, most);
    this.#seen += read;
    this.#clock.sync();
    this.#flows.notify();
    // a wake-up costs the sender more than its event: many gather for the next one
    const { least, most: longest } = GATHER_MS;
    this.#pause = Math.min(longest, Math.max(least, this.#pause * GATHER_SHARE / used));
    this.#timer = setTimeout(() => void this.#turn(), read === most ? 0 : this.#pause);
  }

  #push = (view: DataView, offset: number): void => {
    this.#flows.pushRecord(view.getUint8(offset + eventHeaderOffsets.type), view, offset);
  };

  [Symbol.dispose](): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#buffer[Symbol.dispose]();
  }
}
