/**
 * The ring buffer from user space to programs (BPF_MAP_TYPE_USER_RINGBUF, Linux 6.1), which they read by
 * bpf_user_ringbuf_drain().
 */

import { Mapping, pageSize, PROT_READ, PROT_WRITE } from "./ffi/libc.ts";
import { MapType } from "./constants.ts";
import type { BpfMap } from "./map.ts";

const HEADER = 8;

/** The writing end of a user ring buffer. There must be only one. */
export class UserRingBuffer implements Disposable {
  readonly #size: number;
  readonly #consumerPage: Mapping;
  readonly #producerPages: Mapping;
  readonly #consumer: BigUint64Array;
  readonly #producer: BigUint64Array;
  /** The data, which is mapped twice in a row: no record wraps. */
  readonly #bytes: Uint8Array;
  readonly #lengths: Uint32Array;
  #disposed = false;

  /** Throws TypeError for a map of another type. */
  constructor(map: BpfMap) {
    if (map.type !== MapType.USER_RINGBUF) {
      throw new TypeError(`Map ${map.name} is no user ring buffer`);
    }
    this.#size = map.maxEntries;
    const page = pageSize();
    this.#consumerPage = new Mapping(map.fd, page, PROT_READ, 0, map.name);
    const protection = PROT_READ | PROT_WRITE;
    this.#producerPages = new Mapping(map.fd, page + 2 * this.#size, protection, page, map.name);
    this.#consumer = new BigUint64Array(this.#consumerPage.buffer, 0, 1);
    this.#producer = new BigUint64Array(this.#producerPages.buffer, 0, 1);
    this.#bytes = new Uint8Array(this.#producerPages.buffer, page);
    this.#lengths = new Uint32Array(this.#producerPages.buffer, page);
  }

  /**
   * Writes a record for the programs. Returns false when there is no room until they have read. Throws
   * TypeError when it is disposed of, RangeError for a record that never fits.
   */
  write(record: Uint8Array): boolean {
    if (this.#disposed) throw new TypeError("User ring buffer is disposed");
    const length = record.length, stored = (HEADER + length + 7) & ~7;
    if (stored > this.#size) {
      throw new RangeError(`A record of ${length} bytes, and the ring has ${this.#size}`);
    }
    const position = Number(Atomics.load(this.#producer, 0));
    const read = Number(Atomics.load(this.#consumer, 0));
    if (position - read + stored > this.#size) return false;
    const at = position & this.#size - 1;
    this.#bytes.set(record, at + HEADER);
    this.#lengths[at >>> 2] = length;
    Atomics.store(this.#producer, 0, BigInt(position + stored));
    return true;
  }

  /** Unmaps the memory. */
  [Symbol.dispose](): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#consumerPage[Symbol.dispose]();
    this.#producerPages[Symbol.dispose]();
  }
}
