/** Drains the programs' events. Without listeners they are only counted. */

import { type BpfMap, RingBuffer, type TypedMap } from "../../../datapath/bpf/mod.ts";
import { eventOffsets, EventType } from "../../../datapath/maps/generated.ts";
import { EventClock } from "./event_clock.ts";
import { FlowDecoder, type FlowNames } from "./flow.ts";
import { FlowListener } from "./flow_listener.ts";

/** Milliseconds between two looks at the buffer, the fuller it is found the fewer. */
const GATHER_MS = { least: 1, most: 20 } as const;

/** The share of the buffer that is to be found in use; traces and verdicts may use three quarters. */
const GATHER_SHARE = 1 / 16;

/** Drains the ring buffer for as long as it lives. */
export class FlowReader implements Disposable {
  readonly #ring: RingBuffer;
  readonly #lost: TypedMap<number, bigint[]>;
  readonly #clock = new EventClock();
  readonly #decoder: FlowDecoder;
  readonly #listeners = new Set<FlowListener>();
  #seen = 0;
  /** By listeners that are gone. */
  #missed = 0;
  #pause: number = GATHER_MS.most;
  #timer: number | undefined;
  #stopped = false;

  constructor(events: BpfMap, lost: TypedMap<number, bigint[]>, names: FlowNames) {
    this.#ring = new RingBuffer(events);
    this.#lost = lost;
    this.#decoder = new FlowDecoder(names, this.#clock);
    void this.#turn();
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

  /** Events that listeners were too slow for, since the start. */
  get missed(): number {
    let sum = this.#missed;
    for (const { missed } of this.#listeners) sum += missed;
    return sum;
  }

  /** Who hears of events of these types (default: all) from now on, until disposed of. */
  listen(types: Iterable<number> = Object.values(EventType)): FlowListener {
    let bits = 0;
    for (const type of types) bits |= 1 << type;
    const listener = new FlowListener(bits, this.#decoder, () => {
      if (this.#listeners.delete(listener)) this.#missed += listener.missed;
    });
    this.#listeners.add(listener);
    return listener;
  }

  /** One look at the buffer, and the next one when there may be something again. */
  async #turn(): Promise<void> {
    if (this.#ring.pending === 0) await this.#ring.wait(1000);
    if (this.#stopped) return;
    const used = this.#ring.pending / this.#ring.size;
    this.#seen += this.#ring.drain(this.#listeners.size > 0 ? this.#share : () => {});
    if (this.#listeners.size > 0) this.#clock.sync();
    for (const listener of this.#listeners) listener.wake();
    // a wake-up costs the sender more than its event: many gather for the next one
    const { least, most } = GATHER_MS;
    this.#pause = Math.min(most, Math.max(least, this.#pause * GATHER_SHARE / used));
    this.#timer = setTimeout(() => void this.#turn(), this.#pause);
  }

  #share = (view: DataView, offset: number): void => {
    const type = 1 << view.getUint8(offset + eventOffsets.type);
    for (const listener of this.#listeners) if (listener.types & type) listener.push(view, offset);
  };

  [Symbol.dispose](): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#ring[Symbol.dispose]();
  }
}
