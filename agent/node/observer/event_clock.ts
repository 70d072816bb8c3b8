/** When an event was. */

import { monotonicNs, realtimeNs } from "../../../datapath/bpf/ffi/libc.ts";

const SECOND = 1_000_000_000;

/** What 2^32 ns are more than 4 s. */
const HIGH_NS = 2 ** 32 - 4 * SECOND;

/** Two looks at both clocks differ by what is between the two calls; a clock that was set, by more. */
const MOVED_NS = 1_000_000n;

/** Nanoseconds since 1970 of CLOCK_MONOTONIC's zero, as all clocks here have it. */
let known: bigint | undefined;

/** The same as before while the clock was not set, so that an event has one time whenever it is read. */
function monotonicStart(): bigint {
  const start = realtimeNs() - monotonicNs();
  const moved = known === undefined ? MOVED_NS : start > known ? start - known : known - start;
  if (moved >= MOVED_NS) known = start;
  return known!;
}

/** Knows when CLOCK_MONOTONIC began, which moves when the clock is set. */
export class EventClock {
  #startSeconds = 0;
  #startNs = 0;
  /** Of the time that was read last: since 1970, and the nanoseconds of that second. */
  seconds = 0;
  nanoseconds = 0;

  /** Looks at the clocks. `start`: nanoseconds since 1970 of CLOCK_MONOTONIC's zero. */
  sync(start: bigint = monotonicStart()): void {
    this.#startSeconds = Number(start / BigInt(SECOND));
    this.#startNs = Number(start % BigInt(SECOND));
  }

  /** Reads the 64 bits of CLOCK_MONOTONIC at `offset`. Makes no BigInt. */
  read(view: DataView, offset: number): void {
    const low = view.getUint32(offset, true), high = view.getUint32(offset + 4, true);
    const ns = high * HIGH_NS + low + this.#startNs;
    const seconds = Math.floor(ns / SECOND);
    this.seconds = 4 * high + this.#startSeconds + seconds;
    this.nanoseconds = ns - seconds * SECOND;
  }
}
