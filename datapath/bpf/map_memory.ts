/** The memory of maps that have it in common with programs: arrays with BPF_F_MMAPABLE, and arenas. */

import { Mapping, pageSize, PROT_READ, PROT_WRITE } from "./ffi/libc.ts";
import { MapFlag, MapType } from "./constants.ts";
import type { BpfMap } from "./map.ts";

/** Reads and writes without a call of the kernel. What programs do at the same time may be seen in part. */
export class MapMemory implements Disposable {
  /** Bytes. */
  readonly size: number;
  /** Bytes from one element of an array to the next; of an arena, those of a page. */
  readonly elementSize: number;
  readonly #mapping: Mapping;
  readonly #name: string;
  #bytes: Uint8Array<ArrayBuffer> | undefined;

  /** Throws TypeError for a map that cannot be mapped, KernelError, as EPERM for a frozen one. */
  constructor(map: BpfMap) {
    const page = pageSize(), arena = map.type === MapType.ARENA;
    if (!arena && (map.type !== MapType.ARRAY || !(map.flags & MapFlag.MMAPABLE))) {
      throw new TypeError(`Map ${map.name} is no arena, and no array with the flag MMAPABLE`);
    }
    this.elementSize = arena ? page : (map.valueSize + 7) & ~7;
    this.size = this.elementSize * map.maxEntries;
    this.#name = map.name;
    const whole = Math.ceil(this.size / page) * page;
    this.#mapping = new Mapping(map.fd, whole, PROT_READ | PROT_WRITE, 0, map.name);
    this.#bytes = new Uint8Array(this.#mapping.buffer, 0, this.size);
  }

  /** A copy of so many bytes. Throws RangeError outside of the memory, TypeError when disposed of. */
  read(offset: number, length: number): Uint8Array<ArrayBuffer> {
    return this.#range(offset, length).slice();
  }

  /** Throws as `read` does. */
  write(offset: number, bytes: Uint8Array): void {
    this.#range(offset, bytes.length).set(bytes);
  }

  #range(offset: number, length: number): Uint8Array<ArrayBuffer> {
    if (!this.#bytes) throw new TypeError(`Memory of map ${this.#name} is disposed`);
    const inside = Number.isInteger(offset) && Number.isInteger(length) && offset >= 0 &&
      length >= 0 && offset + length <= this.size;
    if (!inside) {
      throw new RangeError(
        `Map ${this.#name} has ${this.size} bytes: not ${length} from ${offset}`,
      );
    }
    return this.#bytes.subarray(offset, offset + length);
  }

  /** Unmaps the memory; the map stays. */
  [Symbol.dispose](): void {
    this.#bytes = undefined;
    this.#mapping[Symbol.dispose]();
  }
}
