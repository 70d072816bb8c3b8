/**
 * The newest flows of the node, of each type so many: a flood of traces overwrites no drops. Whoever
 * wants flows reads them through a cursor of its own.
 */

import type { Flow } from "./flow.ts";
import { type CursorOptions, FlowCursor } from "./flow_cursor.ts";
import { flowFilter, type PodOf } from "./flow_filter.ts";
import { type Lane, MadeLane, RecordLane } from "./lane.ts";
import type { RecordFormat } from "./record_format.ts";

/** Options for {@linkcode FlowRing}. */
export interface FlowRingOptions {
  format: RecordFormat;
  podOf: PodOf;
  /** Flows of each type of record that are kept; rounded up to a power of two. */
  capacity: number;
  /**
   * Types of flows that are made and not read from records, and how many of each are kept; rounded
   * up to a power of two. @default {none}
   */
  made?: ReadonlyMap<number, number>;
}

/** Flows that were overwritten before a consumer had read them. */
export interface MissedFlows {
  consumer: string;
  type: number;
  count: number;
}

export class FlowRing {
  /** Flows of each type of record that are kept. */
  readonly capacity: number;
  readonly #records: (RecordLane | undefined)[] = [];
  readonly #made = new Map<number, MadeLane>();
  readonly #lanes: readonly Lane[];
  readonly #cursors = new Set<FlowCursor>();
  /** By cursors that are gone. */
  readonly #missed = new Map<string, MissedFlows>();
  #sequence = 0;

  /** Throws RangeError for a type of `made` that records have. */
  constructor({ format, podOf, capacity, made = new Map() }: FlowRingOptions) {
    this.capacity = powerOfTwo(capacity);
    for (const type of format.types) {
      this.#records[type] = new RecordLane(type, this.capacity, format);
    }
    for (const [type, kept] of made) {
      if (this.#records[type]) throw new RangeError(`Flows of type ${type} are records, not made`);
      this.#made.set(
        type,
        new MadeLane(type, powerOfTwo(kept), (filter) => flowFilter(filter, podOf)),
      );
    }
    this.#lanes = [...this.#records.filter((lane) => lane !== undefined), ...this.#made.values()];
  }

  /** Keeps the record at `offset`; one of an unknown type is left out. Then call `notify`. */
  pushRecord(type: number, view: DataView, offset: number): void {
    this.#records[type]?.push(this.#sequence++, view, offset);
  }

  /** Keeps a flow that was made, and lets cursors look. Throws RangeError for a type that is not made. */
  push(flow: Flow): void {
    const lane = this.#made.get(flow.type);
    if (!lane) throw new RangeError(`Flows of type ${flow.type} are not made`);
    lane.push(this.#sequence++, flow);
    this.notify();
  }

  /** Lets cursors that wait look at what came. */
  notify(): void {
    for (const cursor of this.#cursors) cursor.notify();
  }

  /** A reader of flows, until it is disposed of. */
  cursor(options: CursorOptions): FlowCursor {
    const cursor = new FlowCursor(this.#lanes, options, () => {
      if (!this.#cursors.delete(cursor)) return;
      for (const { type, count } of cursor.missed()) this.#addMissed(cursor.consumer, type, count);
    });
    this.#cursors.add(cursor);
    return cursor;
  }

  /**
   * Flows of records: how many there are, there may be and have come, and since when, in milliseconds
   * since 1970, none is missing of any type.
   */
  history(): { kept: number; most: number; seen: number; since: number | undefined } {
    const lanes = this.#records.filter((lane) => lane !== undefined);
    const sum = (count: (lane: RecordLane) => number) =>
      lanes.reduce((total, lane) => total + count(lane), 0);
    const starts = lanes.filter(({ start, end }) => end > start)
      .map((lane) => ({ whole: lane.start === 0, time: lane.time(lane.start) }));
    const cut = starts.filter(({ whole }) => !whole);
    const since = cut.length > 0
      ? Math.max(...cut.map(({ time }) => time))
      : Math.min(...starts.map(({ time }) => time));
    return {
      kept: sum(({ start, end }) => end - start),
      most: lanes.length * this.capacity,
      seen: sum(({ end }) => end),
      since: starts.length === 0 ? undefined : since,
    };
  }

  /** Flows that have come, by type. */
  seen(): { type: number; count: number }[] {
    return this.#lanes.map(({ type, end }) => ({ type, count: end }));
  }

  /** Flows that consumers were too slow for, of those that are gone too. */
  missed(): MissedFlows[] {
    const sums = new Map([...this.#missed].map(([key, row]) => [key, { ...row }]));
    for (const cursor of this.#cursors) {
      for (const { type, count } of cursor.missed()) add(sums, cursor.consumer, type, count);
    }
    return [...sums.values()];
  }

  #addMissed(consumer: string, type: number, count: number): void {
    add(this.#missed, consumer, type, count);
  }
}

function powerOfTwo(least: number): number {
  return 2 ** Math.ceil(Math.log2(least));
}

function add(sums: Map<string, MissedFlows>, consumer: string, type: number, count: number): void {
  const key = `${consumer}/${type}`, row = sums.get(key) ?? { consumer, type, count: 0 };
  row.count += count;
  sums.set(key, row);
}
