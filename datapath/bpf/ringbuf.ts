/**
 * The BPF ring buffer (BPF_MAP_TYPE_RINGBUF), read straight from the memory shared with the kernel
 * (kernel: Documentation/bpf/ringbuf.rst).
 */

import {
  eventfd,
  type FileDescriptor,
  Mapping,
  poll,
  PROT_READ,
  PROT_WRITE,
  signal,
} from "../ffi/libc.ts";
import { NativeMemory } from "../ffi/memory.ts";
import { MapType } from "./constants.ts";
import type { BpfMap } from "./map.ts";

/** One record: `length` bytes from `offset` of `view`, valid during the call only. */
export type RecordCallback = (view: DataView, offset: number, length: number) => void;

const PAGE = 4096;
const BUSY = 1 << 31, DISCARD = 1 << 30;
const HEADER = 8;
const POLLIN = 1;

/** The reading end of a ring buffer. There must be only one. */
export class RingBuffer implements Disposable {
  readonly #size: number;
  readonly #consumerPage: Mapping;
  readonly #producerPages: Mapping;
  readonly #consumer: BigUint64Array;
  readonly #producer: BigUint64Array;
  /** The lengths of records as 32-bit words; the data is mapped twice in a row, so none wraps. */
  readonly #words: Int32Array;
  readonly #view: DataView;
  readonly #mapFd: number;
  readonly #stop: FileDescriptor;
  readonly #pollfds = new NativeMemory(16);
  #waiting: Promise<boolean> | undefined;
  #disposed = false;

  /** The map must stay open as long as this lives. Throws TypeError for a map of another type. */
  constructor(map: BpfMap) {
    if (map.type !== MapType.RINGBUF) throw new TypeError(`Map ${map.name} is no ring buffer`);
    this.#mapFd = map.fd;
    this.#size = map.maxEntries;
    this.#consumerPage = new Mapping(map.fd, PAGE, PROT_READ | PROT_WRITE, 0, map.name);
    this.#producerPages = new Mapping(map.fd, PAGE + 2 * this.#size, PROT_READ, PAGE, map.name);
    this.#consumer = new BigUint64Array(this.#consumerPage.buffer, 0, 1);
    this.#producer = new BigUint64Array(this.#producerPages.buffer, 0, 1);
    this.#words = new Int32Array(this.#producerPages.buffer, PAGE);
    this.#view = new DataView(this.#producerPages.buffer, PAGE);
    this.#stop = eventfd();
    this.#pollfds.view.setInt32(0, this.#mapFd, true);
    this.#pollfds.view.setInt16(4, POLLIN, true);
    this.#pollfds.view.setInt32(8, this.#stop.fd, true);
    this.#pollfds.view.setInt16(12, POLLIN, true);
  }

  /** Bytes that wait to be read, headers and discarded records included. */
  get pending(): number {
    return Number(Atomics.load(this.#producer, 0) - Atomics.load(this.#consumer, 0));
  }

  /** Bytes that the buffer holds. */
  get size(): number {
    return this.#size;
  }

  /**
   * Calls `callback` for the records that are there, at most `max`, and gives their memory back.
   * Returns how many were read. When `callback` throws, its record counts as read.
   */
  drain(callback: RecordCallback, max: number = Infinity): number {
    if (this.#disposed) throw new TypeError("Ring buffer is disposed");
    const words = this.#words, view = this.#view, mask = this.#size - 1;
    const start = Atomics.load(this.#consumer, 0);
    const available = Number(Atomics.load(this.#producer, 0) - start);
    const origin = Number(start & BigInt(mask));
    let read = 0, done = 0;
    try {
      while (done < available && read < max) {
        const at = (origin + done) & mask;
        const header = Atomics.load(words, at >>> 2);
        if (header & BUSY) break; // reserved, not yet submitted
        const length = header & ~DISCARD;
        done += (length + HEADER + 7) & ~7;
        if (header & DISCARD) continue;
        read++;
        callback(view, at + HEADER, length);
      }
    } finally {
      if (done > 0) Atomics.store(this.#consumer, 0, start + BigInt(done));
    }
    return read;
  }

  /**
   * Waits until a record comes, `timeoutMs` have passed or the buffer is disposed; true when there
   * may be something to read. One wait at a time: a second call gets the first one's promise.
   */
  wait(timeoutMs: number): Promise<boolean> {
    if (this.#disposed) return Promise.resolve(false);
    return this.#waiting ??= this.#wait(timeoutMs);
  }

  async #wait(timeoutMs: number): Promise<boolean> {
    try {
      await poll(this.#pollfds.pointer, 2, timeoutMs);
      return !this.#disposed && (this.#pollfds.view.getInt16(6, true) & POLLIN) !== 0;
    } finally {
      this.#waiting = undefined;
      if (this.#disposed) this.#freePoll();
    }
  }

  /** Ends a wait and unmaps the memory. */
  [Symbol.dispose](): void {
    if (this.#disposed) return;
    this.#disposed = true;
    if (this.#waiting) signal(this.#stop.fd); // the other thread still reads the pollfds
    else this.#freePoll();
    this.#consumerPage[Symbol.dispose]();
    this.#producerPages[Symbol.dispose]();
  }

  #freePoll(): void {
    this.#stop[Symbol.dispose]();
    this.#pollfds[Symbol.dispose]();
  }
}
