/**
 * The BPF ring buffer (BPF_MAP_TYPE_RINGBUF), read straight from the memory shared with the kernel
 * (kernel: Documentation/bpf/ringbuf.rst).
 */

import { Mapping, pageSize, pollHere, PROT_READ, PROT_WRITE } from "./ffi/libc.ts";
import type { Codec } from "./codec.ts";
import { MapType } from "./constants.ts";
import type { BpfMap } from "./map.ts";
import { type RingWait, waitFor } from "./ring_waits.ts";

/** One record: `length` bytes from `offset` of `view`, a copy that later records overwrite. */
export type RecordCallback = (view: DataView, offset: number, length: number) => void;

const BUSY = 1 << 31, DISCARD = 1 << 30;
const HEADER = 8;
/** Of `records`: what is decoded before it is given. */
const RECORDS_AT_ONCE = 1024;
/** Milliseconds until `records` looks again: programs may submit without a wake-up. */
const IDLE_MS = 500;
/** Bytes of records that are copied at once; a record that is longer is copied alone. */
const RUN = 1 << 16;

/** Copies of records: what readers do with them does not reach the memory that the kernel shares. */
class Copies {
  bytes!: Uint8Array<ArrayBuffer>;
  words!: Int32Array;
  view!: DataView;

  constructor() {
    this.#make(RUN);
  }

  #make(size: number): void {
    this.bytes = new Uint8Array(size);
    this.words = new Int32Array(this.bytes.buffer);
    this.view = new DataView(this.bytes.buffer);
  }

  /** A multiple of 8 bytes. */
  take(bytes: Uint8Array): void {
    if (bytes.length > this.bytes.length) this.#make(bytes.length);
    this.bytes.set(bytes);
  }
}

/** The reading end of a ring buffer. There must be only one. */
export class RingBuffer implements Disposable {
  readonly #size: number;
  readonly #consumerPage: Mapping;
  readonly #producerPages: Mapping;
  readonly #consumer: BigUint64Array;
  readonly #producer: BigUint64Array;
  /** The lengths of records as 32-bit words; the data is mapped twice in a row, so none wraps. */
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #copies = new Copies();
  /** Where the next record to be read begins, in bytes since the map was made. */
  #position: number;
  #draining = false;
  readonly #map: BpfMap;
  #wait: RingWait | undefined;
  #disposed = false;

  /** The map must stay open as long as this lives. Throws TypeError for a map of another type. */
  constructor(map: BpfMap) {
    if (map.type !== MapType.RINGBUF) throw new TypeError(`Map ${map.name} is no ring buffer`);
    this.#map = map;
    this.#size = map.maxEntries;
    const page = pageSize();
    this.#consumerPage = new Mapping(map.fd, page, PROT_READ | PROT_WRITE, 0, map.name);
    this.#producerPages = new Mapping(map.fd, page + 2 * this.#size, PROT_READ, page, map.name);
    this.#consumer = new BigUint64Array(this.#consumerPage.buffer, 0, 1);
    this.#producer = new BigUint64Array(this.#producerPages.buffer, 0, 1);
    this.#words = new Int32Array(this.#producerPages.buffer, page);
    this.#bytes = new Uint8Array(this.#producerPages.buffer, page);
    this.#position = Number(Atomics.load(this.#consumer, 0));
  }

  /** Bytes that wait to be read, headers and discarded records included. Throws TypeError when disposed. */
  get pending(): number {
    this.#requireOpen();
    return Number(Atomics.load(this.#producer, 0) - Atomics.load(this.#consumer, 0));
  }

  /** Bytes that the buffer holds. */
  get size(): number {
    return this.#size;
  }

  /**
   * Calls `callback` for the records that are there, at most `max`, and gives their memory back.
   * Returns how many were read. When `callback` throws, its record counts as read. A drain within
   * `callback` reads what follows; a dispose within it ends the drain.
   */
  drain(callback: RecordCallback, max: number = Infinity): number {
    this.#requireOpen();
    const within = this.#draining;
    const copies = within ? new Copies() : this.#copies;
    const end = Number(Atomics.load(this.#producer, 0));
    let read = 0;
    this.#draining = true;
    try {
      while (read < max && !this.#disposed) {
        const start = this.#position, length = this.#copyRun(copies, end);
        if (length === 0) break;
        const { words, view } = copies;
        for (let at = 0; at < length && read < max && !this.#disposed;) {
          const header = words[at >>> 2]!;
          const size = header & ~DISCARD;
          this.#position = start + at + stored(size);
          if (!(header & DISCARD)) {
            read++;
            callback(view, at + HEADER, size);
          }
          at = this.#position - start;
        }
      }
    } finally {
      this.#draining = within;
      if (!this.#disposed) Atomics.store(this.#consumer, 0, BigInt(this.#position));
    }
    return read;
  }

  /** Copies records that are complete, from the position and before `end`. Returns the bytes. */
  #copyRun(copies: Copies, end: number): number {
    const words = this.#words, origin = this.#position & this.#size - 1;
    const available = end - this.#position;
    let length = 0;
    while (length < available) {
      const header = Atomics.load(words, (origin + length) >>> 2);
      if (header & BUSY) break; // reserved, not yet submitted
      const size = stored(header & ~DISCARD);
      if (length > 0 && length + size > RUN) break;
      length += size;
    }
    if (length > 0) copies.take(this.#bytes.subarray(origin, origin + length));
    return length;
  }

  #requireOpen(): void {
    if (this.#disposed) throw new TypeError("Ring buffer is disposed");
  }

  /**
   * Waits until a record comes, `timeoutMs` have passed or the buffer is disposed; true when there
   * may be something to read. One wait at a time: a second call gets the first one's promise.
   */
  async wait(timeoutMs: number): Promise<boolean> {
    if (this.#disposed) return false;
    const wait = this.#wait ??= waitFor(this.#map.fd, timeoutMs);
    try {
      return await wait.ready;
    } finally {
      if (this.#wait === wait) this.#wait = undefined;
    }
  }

  /**
   * As `wait`, and stops this thread meanwhile: for a worker that only reads, which records reach sooner
   * than by a promise. Interruptions end it, too.
   */
  waitSync(timeoutMs: number): boolean {
    this.#requireOpen();
    return pollHere(this.#map.fd, Math.ceil(Math.min(Math.max(timeoutMs, 0), 1e9)) || 0);
  }

  /**
   * The records as they come, until `signal` or a dispose ends it; several at once share them. What is
   * decoded is the caller's own. Throws RangeError for a record that is shorter than the codec's values.
   */
  async *records<T>(
    codec: Codec<T>,
    { signal }: { signal?: AbortSignal | undefined } = {},
  ): AsyncGenerator<T> {
    const stop = () => this.#wait?.end();
    signal?.addEventListener("abort", stop);
    try {
      while (!this.#disposed && !signal?.aborted) {
        const values: T[] = [];
        this.drain((view, offset, length) => {
          if (length < codec.size) {
            throw new RangeError(`A record has ${length} bytes, and a value ${codec.size}`);
          }
          values.push(codec.decode(view, offset));
        }, RECORDS_AT_ONCE);
        yield* values;
        if (values.length === 0) await this.wait(IDLE_MS);
      }
    } finally {
      signal?.removeEventListener("abort", stop);
    }
  }

  /** Ends a wait and unmaps the memory. */
  [Symbol.dispose](): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#wait?.end();
    this.#consumerPage[Symbol.dispose]();
    this.#producerPages[Symbol.dispose]();
  }
}

/** Bytes that a record of so many takes in the ring. */
function stored(length: number): number {
  return (length + HEADER + 7) & ~7;
}
