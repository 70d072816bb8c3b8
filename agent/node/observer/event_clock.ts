/** When an event was, as text. */

import { monotonicNs, realtimeNs } from "../../../datapath/ffi/libc.ts";

const SECOND = 1_000_000_000;

/** What 2^32 ns are more than 4 s. */
const HIGH_NS = 2 ** 32 - 4 * SECOND;

/** Knows when CLOCK_MONOTONIC began, which moves when somebody sets the clock. */
export class EventClock {
  #startSeconds = 0;
  #startNs = 0;
  /** The text of the last second: most events are of the same one. */
  #second = NaN;
  #prefix = "";

  /** Looks at the clocks. `start`: nanoseconds since 1970 of CLOCK_MONOTONIC's zero. */
  sync(start: bigint = realtimeNs() - monotonicNs()): void {
    this.#startSeconds = Number(start / BigInt(SECOND));
    this.#startNs = Number(start % BigInt(SECOND));
  }

  /** ISO 8601 with nanoseconds, of the 64 bits of CLOCK_MONOTONIC at `offset`. Makes no BigInt. */
  text(view: DataView, offset: number): string {
    const low = view.getUint32(offset, true), high = view.getUint32(offset + 4, true);
    const ns = high * HIGH_NS + low + this.#startNs;
    const second = 4 * high + this.#startSeconds + Math.floor(ns / SECOND);
    if (second !== this.#second) {
      this.#second = second;
      this.#prefix = new Date(second * 1000).toISOString().slice(0, -"000Z".length);
    }
    return `${this.#prefix}${String(SECOND + ns % SECOND).slice(1)}Z`;
  }
}
