/** The newest flows of one type, in the order in which they came. */

import type { Flow } from "./flow.ts";
import type { FlowFilter } from "./flow_filter.ts";
import type { RecordFormat } from "./record_format.ts";

/** Whether flow `number` of a lane passes. */
export type LaneFilter = (number: number) => boolean;

/**
 * Flows have numbers, counted from 0. Those from `start` to before `end` are there: the number of
 * the next one is `end`.
 */
export interface Lane {
  readonly type: number;
  readonly start: number;
  readonly end: number;
  /** The place of a flow among those of all lanes. */
  sequence(number: number): number;
  /** Milliseconds since 1970. */
  time(number: number): number;
  flow(number: number): Flow;
  filter(filter: FlowFilter): LaneFilter;
}

/** Flows that are kept as the bytes of their records, and decoded when they are read. */
export class RecordLane implements Lane {
  readonly type: number;
  readonly #format: RecordFormat;
  readonly #size: number;
  readonly #mask: number;
  readonly #records: DataView;
  readonly #words: Int32Array;
  /** The memory that records come from. */
  #source: Int32Array = new Int32Array(0);
  readonly #sequences: Float64Array;
  #end = 0;

  /** `capacity`: a power of two. */
  constructor(type: number, capacity: number, format: RecordFormat) {
    this.type = type;
    this.#format = format;
    this.#size = format.size;
    this.#mask = capacity - 1;
    this.#records = new DataView(new ArrayBuffer(capacity * format.size));
    this.#words = new Int32Array(this.#records.buffer);
    this.#sequences = new Float64Array(capacity);
  }

  get start(): number {
    return Math.max(0, this.#end - this.#mask - 1);
  }

  get end(): number {
    return this.#end;
  }

  /** Copies the record at `offset`, which is aligned to 4 bytes. */
  push(sequence: number, view: DataView, offset: number): void {
    // as words: half the time of a DataView's
    if (view.buffer !== this.#source.buffer) this.#source = new Int32Array(view.buffer);
    const slot = this.#end & this.#mask, source = this.#source, words = this.#words;
    let from = (view.byteOffset + offset) >> 2, to = slot * this.#size >> 2;
    for (const end = to + (this.#size >> 2); to < end;) words[to++] = source[from++]!;
    this.#sequences[slot] = sequence;
    this.#end++;
  }

  sequence(number: number): number {
    return this.#sequences[number & this.#mask]!;
  }

  time(number: number): number {
    return this.#format.time(this.#records, this.#offset(number));
  }

  flow(number: number): Flow {
    return this.#format.decode(this.#records, this.#offset(number));
  }

  filter(filter: FlowFilter): LaneFilter {
    const passes = this.#format.filter(filter);
    return (number) => passes(this.#records, this.#offset(number));
  }

  #offset(number: number): number {
    return (number & this.#mask) * this.#size;
  }
}

/** Flows that were made, not read from bytes. */
export class MadeLane implements Lane {
  readonly type: number;
  readonly #mask: number;
  readonly #filter: (filter: FlowFilter) => (flow: Flow) => boolean;
  readonly #flows: { flow: Flow; sequence: number }[] = [];
  #end = 0;

  /** `capacity`: a power of two. */
  constructor(
    type: number,
    capacity: number,
    filter: (filter: FlowFilter) => (flow: Flow) => boolean,
  ) {
    this.type = type;
    this.#mask = capacity - 1;
    this.#filter = filter;
  }

  get start(): number {
    return Math.max(0, this.#end - this.#mask - 1);
  }

  get end(): number {
    return this.#end;
  }

  push(sequence: number, flow: Flow): void {
    this.#flows[this.#end & this.#mask] = { flow, sequence };
    this.#end++;
  }

  sequence(number: number): number {
    return this.#flows[number & this.#mask]!.sequence;
  }

  time(number: number): number {
    const { seconds, nanoseconds } = this.flow(number);
    return seconds * 1000 + nanoseconds / 1e6;
  }

  flow(number: number): Flow {
    return this.#flows[number & this.#mask]!.flow;
  }

  filter(filter: FlowFilter): LaneFilter {
    const passes = this.#filter(filter);
    return (number) => passes(this.flow(number));
  }
}
