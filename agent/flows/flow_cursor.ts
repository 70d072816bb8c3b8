/** A reader of the ring: it has its own place, filter and count of what it missed. */

import { TimeSlice } from "../core/time_slice.ts";
import type { Flow } from "./flow.ts";
import type { FlowFilter } from "./flow_filter.ts";
import type { Lane, LaneFilter } from "./lane.ts";

/** Flows that one call takes at most. */
const BATCH = 256;

/** Flows that are looked at before it is asked whether other work has waited for long enough. */
const LOOKS = 1024;

/** Options for a cursor. */
export interface CursorOptions {
  /** What the reader is called in metrics. */
  consumer: string;
  /** @default {everything} */
  filter?: FlowFilter;
  /** A further test, of what passes the filter. @default {none} */
  passes?: (flow: Flow) => boolean;
  /** Begin with so many flows that are there already, at most. @default {0, without `since`} */
  last?: number;
  /** Begin with the flows that are there since then: milliseconds since 1970. */
  since?: number;
  /** Whether to go on with flows that come later. @default {true} */
  follow?: boolean;
}

/** Where a cursor is in a lane. */
interface Place {
  lane: Lane;
  passes: LaneFilter;
  /** Number of the next flow to look at. */
  next: number;
  /** Whether that one is known to pass. */
  found: boolean;
  /** Number of the first flow that is not looked at any more. */
  stop: number;
  missed: number;
}

export class FlowCursor implements Disposable {
  readonly consumer: string;
  readonly #places: readonly Place[];
  readonly #follow: boolean;
  readonly #onDispose: () => void;
  #wake: (() => void) | undefined;
  /** Whether the last look ended before there was nothing more to look at. */
  #unfinished = false;

  constructor(
    lanes: readonly Lane[],
    { consumer, filter = {}, passes, last, since, follow = true }: CursorOptions,
    onDispose: () => void,
  ) {
    this.consumer = consumer;
    this.#follow = follow;
    this.#onDispose = onDispose;
    this.#places = lanes
      .filter(({ type }) => filter.types?.includes(type) ?? true)
      .map((lane) => ({
        lane,
        passes: both(lane, lane.filter(filter), passes),
        next: lane.end,
        found: false,
        stop: follow ? Infinity : lane.end,
        missed: 0,
      }));
    if (last !== undefined || since !== undefined) {
      for (const _ of this.#back(last ?? Infinity, since));
    }
  }

  /** Begins with flows that are there already, as `last` and `since` of the options say. */
  async rewind(last: number, since?: number): Promise<void> {
    const slice = new TimeSlice();
    let looks = 0;
    for (const _ of this.#back(last, since)) {
      if (++looks % LOOKS === 0 && slice.over) await slice.next();
    }
  }

  /** By type the flows that were overwritten before this cursor looked at them. */
  missed(): { type: number; count: number }[] {
    return this.#places.map((place) => ({
      type: place.lane.type,
      count: place.missed + overwritten(place),
    })).filter(({ count }) => count > 0);
  }

  /** Ends a wait if there is a flow to take. */
  notify(): void {
    if (this.#wake && (this.#seek() || this.#unfinished)) this.#wake();
  }

  /**
   * Some of the flows that pass, at most `most`, in the order in which they came; waits for the
   * first one. None when the signal has come, or without `follow` when all are taken.
   */
  async take(signal: AbortSignal, most: number = BATCH): Promise<Flow[]> {
    const flows: Flow[] = [];
    const slice = new TimeSlice();
    while (flows.length < Math.min(most, BATCH) && !signal.aborted) {
      const place = this.#seek();
      if (place) {
        flows.push(place.lane.flow(place.next++));
        place.found = false;
      } else if (this.#unfinished) {
        if (slice.over) await slice.next();
      } else if (this.#follow && flows.length === 0) {
        // what ends the wait may be overwritten by the time it is looked for
        await this.#wait(signal);
      } else break;
    }
    return flows;
  }

  async #wait(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const wake = () => resolve();
    this.#wake = wake;
    signal.addEventListener("abort", wake);
    await promise;
    this.#wake = undefined;
    signal.removeEventListener("abort", wake);
  }

  /** The place of the earliest flow that passes; undefined, too, after many that do not. */
  #seek(): Place | undefined {
    let first: Place | undefined;
    let looks = LOOKS;
    for (const place of this.#places) {
      const lost = overwritten(place);
      if (lost > 0) {
        place.missed += lost;
        place.next += lost;
        place.found = false;
      }
      const end = Math.min(place.lane.end, place.stop);
      while (!place.found && place.next < end && looks > 0) {
        if (place.passes(place.next)) place.found = true;
        else place.next++;
        looks--;
      }
      if (place.found && (!first || sequence(place) < sequence(first))) first = place;
    }
    // a flow that was not looked at may be earlier
    this.#unfinished = looks === 0;
    return this.#unfinished ? undefined : first;
  }

  /** Goes back by `last` flows that pass, and not to before `since`; a turn for each that it looks at. */
  *#back(last: number, since = -Infinity): Generator<void> {
    for (let found = 0; found < last;) {
      let latest: Place | undefined;
      for (const place of this.#places) {
        if (place.next <= place.lane.start) continue;
        if (!latest || before(place) > before(latest)) latest = place;
      }
      if (!latest || latest.lane.time(latest.next - 1) < since) return;
      if (latest.passes(--latest.next)) found++;
      yield;
    }
  }

  [Symbol.dispose](): void {
    this.#onDispose();
  }
}

function both(
  lane: Lane,
  filter: LaneFilter,
  passes: ((flow: Flow) => boolean) | undefined,
): LaneFilter {
  return passes ? (number) => filter(number) && passes(lane.flow(number)) : filter;
}

function sequence({ lane, next }: Place): number {
  return lane.sequence(next);
}

function before({ lane, next }: Place): number {
  return lane.sequence(next - 1);
}

/** Flows that the cursor would have looked at and are gone. */
function overwritten({ lane, next, stop }: Place): number {
  return Math.max(0, Math.min(lane.start, stop) - next);
}
