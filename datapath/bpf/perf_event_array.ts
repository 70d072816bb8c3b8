/**
 * Records by perf events (BPF_MAP_TYPE_PERF_EVENT_ARRAY, bpf_perf_event_output()), a ring for each CPU.
 * New programs rather use a ring buffer, which keeps the order and loses less.
 */

import {
  FileDescriptor,
  ioctlNumber,
  Mapping,
  pageSize,
  PROT_READ,
  PROT_WRITE,
} from "./ffi/libc.ts";
import { perfEventOpen } from "./ffi/syscall.ts";
import { ERRNO } from "./kernel_error.ts";
import { possibleCpus } from "./codec.ts";
import { MapType } from "./constants.ts";
import { checkBpf } from "./errors.ts";
import type { BpfMap } from "./map.ts";
import { type RingWait, waitFor } from "./ring_waits.ts";

/** One record: `length` bytes from `offset` of `view`, a copy that later records overwrite; padded by the kernel. */
export type PerfRecordCallback = (
  view: DataView,
  offset: number,
  length: number,
  cpu: number,
) => void;

// include/uapi/linux/perf_event.h
const PERF_TYPE_SOFTWARE = 1, PERF_COUNT_SW_BPF_OUTPUT = 10n, PERF_SAMPLE_RAW = 1n << 10n;
const PERF_RECORD_LOST = 2, PERF_RECORD_SAMPLE = 9, IOC_ENABLE = 0x2400;
const ATTR_SIZE = 112, DATA_HEAD = 1024;

interface Ring {
  cpu: number;
  event: FileDescriptor;
  mapping: Mapping;
  /** Where the kernel writes next, and where is read next. */
  positions: BigUint64Array;
  data: Uint8Array;
}

function openRing(map: BpfMap, cpu: number, bytes: number): Ring | undefined {
  const attr = new DataView(new ArrayBuffer(ATTR_SIZE)); // struct perf_event_attr
  attr.setUint32(0, PERF_TYPE_SOFTWARE, true);
  attr.setUint32(4, ATTR_SIZE, true);
  attr.setBigUint64(8, PERF_COUNT_SW_BPF_OUTPUT, true);
  attr.setBigUint64(16, 1n, true); // each of them
  attr.setBigUint64(24, PERF_SAMPLE_RAW, true);
  attr.setUint32(48, 1, true); // a wake-up each
  const result = perfEventOpen(new Uint8Array(attr.buffer), -1, cpu);
  if (result === -ERRNO.ENODEV) return undefined; // that CPU is off
  using stack = new DisposableStack();
  const where = `perf events of CPU ${cpu}`;
  const event = stack.use(new FileDescriptor(checkBpf(result, "open", where)));
  const page = pageSize();
  const mapping = stack.use(new Mapping(event.fd, page + bytes, PROT_READ | PROT_WRITE, 0, where));
  map.setObject(new Uint8Array(new Uint32Array([cpu]).buffer), event);
  ioctlNumber(event.fd, IOC_ENABLE, 0n, "enable", where);
  stack.move();
  const positions = new BigUint64Array(mapping.buffer, DATA_HEAD, 2);
  return { cpu, event, mapping, positions, data: new Uint8Array(mapping.buffer, page) };
}

/** The reading end of a perf event array. */
export class PerfEventArray implements Disposable {
  readonly #rings: Ring[] = [];
  readonly #stack: DisposableStack;
  #copy = new Uint8Array(4096);
  #lost = 0;
  #waits: RingWait[] = [];

  /**
   * Puts a ring for each CPU into the map. Throws TypeError for a map of another type, KernelError.
   * @param bytes of each ring, a power of 2 of pages
   */
  constructor(map: BpfMap, bytes: number = 1 << 16) {
    if (map.type !== MapType.PERF_EVENT_ARRAY) {
      throw new TypeError(`Map ${map.name} is no perf event array`);
    }
    if (bytes < pageSize() || (bytes & bytes - 1) !== 0) {
      throw new RangeError(`A ring has a power of 2 of bytes, a multiple of ${pageSize()}`);
    }
    using stack = new DisposableStack();
    for (let cpu = 0; cpu < Math.min(possibleCpus(), map.maxEntries); cpu++) {
      const ring = openRing(map, cpu, bytes);
      if (!ring) continue;
      stack.use(ring.event);
      stack.use(ring.mapping);
      this.#rings.push(ring);
    }
    this.#stack = stack.move();
  }

  /** Records that the kernel had no room for, as far as it was read. */
  get lost(): number {
    return this.#lost;
  }

  /** Calls `callback` for the records that are there, CPU by CPU. Returns how many were read. */
  drain(callback: PerfRecordCallback): number {
    if (this.#stack.disposed) throw new TypeError("Perf event array is disposed");
    let read = 0;
    for (const ring of this.#rings) {
      while (!this.#stack.disposed) {
        const copy = this.#take(ring);
        if (!copy) break;
        const type = copy.getUint32(0, true);
        if (type === PERF_RECORD_LOST) this.#lost += Number(copy.getBigUint64(16, true));
        if (type !== PERF_RECORD_SAMPLE) continue;
        read++;
        callback(copy, 12, copy.getUint32(8, true), ring.cpu);
      }
    }
    return read;
  }

  /** A copy of the next record of a ring, which is given back to the kernel; undefined at the end. */
  #take({ positions, data }: Ring): DataView | undefined {
    const head = Number(Atomics.load(positions, 0)), tail = Number(positions[1]!);
    if (tail >= head) return undefined;
    const at = tail & data.length - 1;
    const size = data[at + 6]! | data[at + 7]! << 8; // of the header; it never wraps
    if (size > this.#copy.length) this.#copy = new Uint8Array(size);
    const first = Math.min(size, data.length - at);
    this.#copy.set(data.subarray(at, at + first));
    this.#copy.set(data.subarray(0, size - first), first);
    Atomics.store(positions, 1, BigInt(tail + size));
    return new DataView(this.#copy.buffer, 0, size);
  }

  /** Waits until a record comes or so many milliseconds have passed; true when there may be something. */
  async wait(timeoutMs: number): Promise<boolean> {
    if (this.#stack.disposed) return false;
    const waits = this.#rings.map(({ event }) => waitFor(event.fd, timeoutMs));
    this.#waits.push(...waits);
    const ready = await Promise.race(waits.map((one) => one.ready));
    for (const one of waits) one.end();
    const all = await Promise.all(waits.map((one) => one.ready));
    this.#waits = this.#waits.filter((one) => !waits.includes(one));
    return ready || all.includes(true);
  }

  /** Ends waits and closes the rings. */
  [Symbol.dispose](): void {
    for (const one of this.#waits) one.end();
    this.#stack.dispose();
  }
}
