/** A reader of the ring: it has its own place, filter and count of what it missed. */

import type { Flow } from "./flow.ts";
import type { FlowFilter } from "./flow_filter.ts";
import type { Lane, LaneFilter } from "./lane.ts";

/** Flows that one call takes at most. */
const BATCH = 256;

/** Options for a cursor. */
export interface CursorOptions {
  /** What the reader is called in metrics. */
  consumer: string;
  /** @default {everything} */
  filter?: FlowFilter;
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

  constructor(
    lanes: readonly Lane[],
    { consumer, filter = {}, last, since, follow = true }: CursorOptions,
    onDispose: () => void,
  ) {
    this.consumer = consumer;
    this.#follow = follow;
    this.#onDispose = onDispose;
    this.#places = lanes
      .filter(({ type }) => filter.types?.includes(type) ?? true)
      .map((lane) => ({
        lane,
        passes: lane.filter(filter),
        next: lane.end,
        found: false,
        stop: follow ? Infinity : lane.end,
        missed: 0,
      }));
    if (last !== undefined || since !== undefined) this.#rewind(last ?? Infinity, since);
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
    if (this.#wake && this.#seek()) this.#wake();
  }

  /**
   * Some of the flows that pass, at most `most`, in the order in which they came; waits for the
   * first one. None when the signal has come, or without `follow` when all are taken.
   */
  async take(signal: AbortSignal, most: number = BATCH): Promise<Flow[]> {
    // what ended the wait may be overwritten by the time it is looked for
    while (this.#follow && !signal.aborted && !this.#seek()) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const wake = () => resolve();
      this.#wake = wake;
      signal.addEventListener("abort", wake);
      await promise;
      this.#wake = undefined;
      signal.removeEventListener("abort", wake);
    }
    const flows: Flow[] = [];
    while (flows.length < Math.min(most, BATCH) && !signal.aborted) {
      const place = this.#seek();
      if (!place) break;
      flows.push(place.lane.flow(place.next++));
      place.found = false;
    }
    return flows;
  }

  /** The place of the earliest flow that passes. */
  #seek(): Place | undefined {
    let first: Place | undefined;
    for (const place of this.#places) {
      const lost = overwritten(place);
      if (lost > 0) {
        place.missed += lost;
        place.next += lost;
        place.found = false;
      }
      const end = Math.min(place.lane.end, place.stop);
      while (!place.found && place.next < end) {
        if (place.passes(place.next)) place.found = true;
        else place.next++;
      }
      if (place.found && (!first || sequence(place) < sequence(first))) first = place;
    }
    return first;
  }

  /** Goes back by `last` flows that pass, and not to before `since`. */
  #rewind(last: number, since = -Infinity): void {
    for (let found = 0; found < last;) {
      let latest: Place | undefined;
      for (const place of this.#places) {
        if (place.next === place.lane.start) continue;
        if (!latest || before(place) > before(latest)) latest = place;
      }
      if (!latest || latest.lane.time(latest.next - 1) < since) return;
      if (latest.passes(--latest.next)) found++;
    }
  }

  [Symbol.dispose](): void {
    this.#onDispose();
  }
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
