/** A map in the kernel, as bytes. `TypedMap` puts codecs on top. */

import { ERRNO } from "./kernel_error.ts";
import { FileDescriptor, geteuid } from "./ffi/libc.ts";
import { libbpf } from "./ffi/libbpf.ts";
import { possibleCpus } from "./codec.ts";
import { MapType, UpdateFlag } from "./constants.ts";
import { closeWhenDropped } from "./dropped.ts";
import { bpfError, checkBpf } from "./errors.ts";
import { infoName, objectInfo } from "./info.ts";
import { createMapFd, type MapOptions } from "./create_map.ts";
import type { MapLayout } from "./map_layout.ts";
import { openPinFd, pinFd, tryOpenPinFd } from "./pin.ts";

type Bytes = Uint8Array<ArrayBuffer>;

const PER_CPU: readonly number[] = [
  MapType.PERCPU_HASH,
  MapType.PERCPU_ARRAY,
  MapType.LRU_PERCPU_HASH,
  MapType.PERCPU_CGROUP_STORAGE,
];

const BATCH = 1024; // entries a call while iterating

/** A map in the kernel. Keys and values are bytes of exactly `keySize` and `storedValueSize`. */
export class BpfMap implements MapLayout, Disposable {
  /** The kernel's number. */
  readonly id: number;
  /** The name: whole when it came from an object, else the kernel's first 15 characters. */
  readonly name: string;
  /** One of `MapType`. */
  readonly type: number;
  /** Bytes. */
  readonly keySize: number;
  /** Bytes of one value. */
  readonly valueSize: number;
  /** How many entries it has room for; bytes of a ring buffer. */
  readonly maxEntries: number;
  /** `MapFlag` bits. */
  readonly flags: number;
  /** Whether each CPU has a value of its own. */
  readonly perCpu: boolean;
  /** Bytes that a read gives and a write takes: `valueSize`, or a slot for each possible CPU. */
  readonly storedValueSize: number;
  #fd: FileDescriptor;
  #batchWorks = true;
  #count = new Uint32Array(1);

  /** Takes over the descriptor. */
  constructor(fd: FileDescriptor, name?: string) {
    this.#fd = fd;
    closeWhenDropped(this, fd);
    const info = objectInfo(fd.fd, name ?? "map");
    this.type = info.getUint32(0, true);
    this.id = info.getUint32(4, true);
    this.keySize = info.getUint32(8, true);
    this.valueSize = info.getUint32(12, true);
    this.maxEntries = info.getUint32(16, true);
    this.flags = info.getUint32(20, true);
    this.name = name ?? infoName(24);
    this.perCpu = PER_CPU.includes(this.type);
    this.storedValueSize = this.perCpu
      ? ((this.valueSize + 7) & ~7) * possibleCpus()
      : this.valueSize;
  }

  /** Makes a map of its own, without an object. Throws RangeError for what no map can be, KernelError. */
  static create(options: MapOptions): BpfMap {
    return new BpfMap(createMapFd(options), options.name);
  }

  /** The map pinned at `path`. Throws KernelError ENOENT when nothing is there. */
  static openPinned(path: string, name?: string): BpfMap {
    return new BpfMap(openPinFd(path, "map"), name);
  }

  /** As `openPinned`, but undefined when nothing is there. */
  static tryOpenPinned(path: string, name?: string): BpfMap | undefined {
    const fd = tryOpenPinFd(path, "map");
    return fd && new BpfMap(fd, name);
  }

  /** The map with this id. Throws KernelError ENOENT when there is none. */
  static byId(id: number): BpfMap {
    const fd = checkBpf(libbpf.bpf_map_get_fd_by_id(id), "open", `map ${id}`);
    return new BpfMap(new FileDescriptor(fd));
  }

  /** The descriptor, owned by this object. */
  get fd(): number {
    return this.#fd.fd;
  }

  /** Pins at a path that does not exist yet, on a bpffs. */
  pin(path: string): void {
    pinFd(this.fd, path);
  }

  /** The value of `key` in `into`, or undefined when the key is not there. */
  get(key: Uint8Array, into: Uint8Array = new Uint8Array(this.storedValueSize)):
    | Uint8Array
    | undefined {
    this.#checkKey(key);
    this.#checkValue(into);
    const result = libbpf.bpf_map_lookup_elem(this.fd, this.#keyed(key), into as Bytes);
    if (result >= 0) return into;
    if (result === -ERRNO.ENOENT) return undefined;
    throw bpfError(result, "look up in map", this.name);
  }

  /**
   * Writes a value. Throws KernelError E2BIG when a hash is full, EEXIST or ENOENT as `flag` says.
   * @param flag one of `UpdateFlag`
   */
  set(key: Uint8Array, value: Uint8Array, flag: bigint = UpdateFlag.ANY): void {
    this.#checkKey(key);
    this.#checkValue(value);
    const result = libbpf.bpf_map_update_elem(this.fd, this.#keyed(key), value as Bytes, flag);
    if (result < 0) throw this.#writeError(result);
  }

  /** Writes a map, program or link into a map that holds such. Throws KernelError. */
  setObject(key: Uint8Array, object: { readonly fd: number }): void {
    this.set(key, new Uint8Array(new Uint32Array([object.fd]).buffer));
  }

  /**
   * Reads and removes in one step; undefined when the key is not there. Of a QUEUE or STACK, whose keys
   * have no bytes, the next value.
   */
  take(key: Uint8Array, into: Uint8Array = new Uint8Array(this.storedValueSize)):
    | Uint8Array
    | undefined {
    this.#checkKey(key);
    this.#checkValue(into);
    const result = libbpf.bpf_map_lookup_and_delete_elem(
      this.fd,
      this.#keyed(key),
      into as Bytes,
    );
    if (result >= 0) return into;
    if (result === -ERRNO.ENOENT) return undefined;
    throw bpfError(result, "take from map", this.name);
  }

  /** Ends writing from outside for good: programs alone change the map from then on. */
  freeze(): void {
    checkBpf(libbpf.bpf_map_freeze(this.fd), "freeze map", this.name);
  }

  /** Removes a key; false when it was not there. */
  delete(key: Uint8Array): boolean {
    this.#checkKey(key);
    const result = libbpf.bpf_map_delete_elem(this.fd, key as Bytes);
    if (result >= 0) return true;
    if (result === -ERRNO.ENOENT) return false;
    throw bpfError(result, "delete from map", this.name);
  }

  /**
   * Writes the key after `key` into `into`; false at the end. Begins at the first key when `key` is
   * undefined or no longer in the map.
   */
  nextKey(key: Uint8Array | undefined, into: Uint8Array): boolean {
    this.#checkKey(into);
    if (key) this.#checkKey(key);
    const result = libbpf.bpf_map_get_next_key(
      this.fd,
      key === undefined ? null : key as Bytes,
      into as Bytes,
    );
    if (result >= 0) return true;
    if (result === -ERRNO.ENOENT) return false;
    throw bpfError(result, "iterate map", this.name);
  }

  /**
   * Calls `visit` with runs of entries: `count` keys and values, packed one after the other in
   * buffers that are reused. Entries that change meanwhile may be seen or not; none is seen twice
   * unless it was deleted and added again.
   */
  forEachBatch(visit: (keys: Uint8Array, values: Uint8Array, count: number) => void): void {
    for (const { keys, values, count } of this.batches()) visit(keys, values, count);
  }

  /** The same as a generator; what it yields is valid until its next step. */
  *batches(): Generator<
    { keys: Uint8Array<ArrayBuffer>; values: Uint8Array<ArrayBuffer>; count: number }
  > {
    if (this.#batchWorks) {
      const step = this.#batchSteps();
      let first = step.next();
      if (this.#batchWorks) {
        for (; !first.done; first = step.next()) yield first.value;
        return;
      }
    }
    yield* this.#singleSteps();
  }

  *#batchSteps(): Generator<{ keys: Bytes; values: Bytes; count: number }> {
    let size = Math.min(BATCH, Math.max(this.maxEntries, 1));
    let keys = new Uint8Array(size * this.keySize);
    let values = new Uint8Array(size * this.storedValueSize);
    const tokenSize = Math.max(this.keySize, 8);
    let from = new Uint8Array(tokenSize), to = new Uint8Array(tokenSize);
    let begun = false;
    while (true) {
      this.#count[0] = size;
      const result = libbpf.bpf_map_lookup_batch(
        this.fd,
        begun ? from : null,
        to,
        keys,
        values,
        this.#count,
        null,
      );
      const count = this.#count[0]!;
      if (result === -ERRNO.ENOSPC) { // a bucket holds more than the buffer
        size *= 2;
        keys = new Uint8Array(size * this.keySize);
        values = new Uint8Array(size * this.storedValueSize);
        continue;
      }
      if (result < 0 && result !== -ERRNO.ENOENT) {
        if (begun || !refusesBatches(result)) throw bpfError(result, "iterate map", this.name);
        this.#batchWorks = false;
        return;
      }
      if (count > 0) yield { keys, values, count };
      if (result < 0) return;
      begun = true;
      [from, to] = [to, from];
    }
  }

  *#singleSteps(): Generator<{ keys: Bytes; values: Bytes; count: number }> {
    const { keySize, storedValueSize } = this;
    const keys: Bytes[] = [];
    // Keys first: deleting the current key would make the kernel begin again.
    for (let key: Bytes | undefined; keys.length < this.maxEntries;) {
      const next = new Uint8Array(keySize);
      if (!this.nextKey(key, next)) break;
      keys.push(key = next);
    }
    const runKeys = new Uint8Array(BATCH * keySize);
    const runValues = new Uint8Array(BATCH * storedValueSize);
    let count = 0;
    for (const key of keys) {
      const at = runValues.subarray(count * storedValueSize, (count + 1) * storedValueSize);
      if (!this.get(key, at)) continue;
      runKeys.set(key, count++ * keySize);
      if (count === BATCH) {
        yield { keys: runKeys, values: runValues, count };
        count = 0;
      }
    }
    if (count > 0) yield { keys: runKeys, values: runValues, count };
  }

  /** All entries, each with bytes of its own. */
  *entries(): Generator<[key: Uint8Array<ArrayBuffer>, value: Uint8Array<ArrayBuffer>]> {
    const { keySize, storedValueSize } = this;
    for (const { keys, values, count } of this.batches()) {
      const ownKeys = keys.slice(0, count * keySize);
      const ownValues = values.slice(0, count * storedValueSize);
      for (let i = 0; i < count; i++) {
        yield [
          ownKeys.subarray(i * keySize, (i + 1) * keySize),
          ownValues.subarray(i * storedValueSize, (i + 1) * storedValueSize),
        ];
      }
    }
  }

  /**
   * Writes `count` packed keys and values in one call where the kernel can. On an error the entries
   * before the failing one are written; the message tells which it was.
   */
  setBatch(keys: Uint8Array, values: Uint8Array, count: number): void {
    if (count === 0) return;
    this.#checkPacked(keys, count * this.keySize, "keys");
    this.#checkPacked(values, count * this.storedValueSize, "values");
    if (this.#batchWorks) {
      this.#count[0] = count;
      const result = libbpf.bpf_map_update_batch(
        this.fd,
        keys as Bytes,
        values as Bytes,
        this.#count,
        null,
      );
      if (result >= 0) return;
      if (!refusesBatches(result)) {
        throw this.#writeError(result, `entry ${this.#count[0]} of ${count}`);
      }
      this.#batchWorks = false;
    }
    for (let i = 0; i < count; i++) {
      this.set(
        keys.subarray(i * this.keySize, (i + 1) * this.keySize),
        values.subarray(i * this.storedValueSize, (i + 1) * this.storedValueSize),
      );
    }
  }

  /** Removes `count` packed keys; those that are not there are passed over. */
  deleteBatch(keys: Uint8Array, count: number): void {
    this.#checkPacked(keys, count * this.keySize, "keys");
    let at = 0;
    while (this.#batchWorks && at < count) {
      this.#count[0] = count - at;
      const rest = keys.subarray(at * this.keySize) as Bytes;
      const result = libbpf.bpf_map_delete_batch(this.fd, rest, this.#count, null);
      if (result >= 0) return;
      if (result === -ERRNO.ENOENT) at += this.#count[0]! + 1; // the kernel stops at a missing key
      else if (refusesBatches(result)) this.#batchWorks = false;
      else throw bpfError(result, "delete from map", this.name);
    }
    for (; at < count; at++) {
      this.delete(keys.subarray(at * this.keySize, (at + 1) * this.keySize));
    }
  }

  /** Removes every entry. Array elements cannot be removed: throws KernelError EINVAL. */
  clear(): void {
    for (const { keys, count } of this.batches()) this.deleteBatch(keys, count);
  }

  /** Closes the descriptor; the map lives on while it has other users. */
  [Symbol.dispose](): void {
    this.#fd[Symbol.dispose]();
  }

  /** Maps without keys want none. */
  #keyed(key: Uint8Array): Bytes | null {
    return this.keySize === 0 ? null : key as Bytes;
  }

  #checkKey(key: Uint8Array): void {
    if (key.length !== this.keySize) {
      throw new RangeError(
        `Key of map ${this.name} has ${this.keySize} bytes, and ${key.length} were given`,
      );
    }
  }

  #checkValue(value: Uint8Array): void {
    if (value.length !== this.storedValueSize) {
      throw new RangeError(
        `Value of map ${this.name} has ${this.storedValueSize} bytes, and ${value.length} were given`,
      );
    }
  }

  #checkPacked(buffer: Uint8Array, size: number, what: string): void {
    if (buffer.length < size) {
      throw new RangeError(
        `Packed ${what} for map ${this.name} need ${size} bytes, and ${buffer.length} were given`,
      );
    }
  }

  #writeError(result: number, where?: string) {
    const hint = result === -ERRNO.E2BIG
      ? `the map is full (${this.maxEntries} entries)` + (where ? ` at ${where}` : "")
      : result === -ERRNO.EPERM && geteuid() === 0
      ? "it is frozen, or made read-only"
      : where;
    return bpfError(result, "write to map", this.name, hint ? { hint } : {});
  }
}

/** ENOTSUPP: this map type has no batch calls. EINVAL: neither has this kernel. */
function refusesBatches(result: number): boolean {
  return result === -ERRNO.ENOTSUPP || result === -ERRNO.EINVAL || result === -ERRNO.EOPNOTSUPP;
}
