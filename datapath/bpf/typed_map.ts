/** A map whose keys and values are TypeScript values. */

import type { Codec } from "./codec.ts";
import { UpdateFlag } from "./constants.ts";
import { isZero } from "./ffi/libc.ts";
import { BpfMap } from "./map.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** What is known of a map before it exists; generated from an object's BTF. */
export interface MapDescriptor<K, V> {
  /** The map's name. */
  name: string;
  /** One of `MapType`. */
  type: number;
  /** How many entries it has room for. */
  maxEntries: number;
  /** Of its keys. */
  key: Codec<K>;
  /** The whole stored value: for a per-CPU map `perCpu(codec)`. */
  value: Codec<V>;
}

/** `BpfMap` with codecs. Single calls reuse one key and one value buffer. */
export class TypedMap<K, V> implements Disposable {
  /** The map as bytes. */
  readonly raw: BpfMap;
  readonly #key: Codec<K>;
  readonly #value: Codec<V>;
  readonly #keyBytes: Bytes;
  readonly #valueBytes: Bytes;
  readonly #keyView: DataView;
  readonly #valueView: DataView;
  #batchKeys: Bytes = new Uint8Array(0);
  #batchValues: Bytes = new Uint8Array(0);

  /** Takes over the map. Throws TypeError when a codec's size is not the map's. */
  constructor(raw: BpfMap, { key, value }: { key: Codec<K>; value: Codec<V> }) {
    if (key.size !== raw.keySize || value.size !== raw.storedValueSize) {
      throw new TypeError(
        `Codecs of map ${raw.name} have ${key.size} and ${value.size} bytes, ` +
          `and its keys and values have ${raw.keySize} and ${raw.storedValueSize}`,
      );
    }
    this.raw = raw;
    this.#key = key;
    this.#value = value;
    this.#keyBytes = new Uint8Array(key.size);
    this.#valueBytes = new Uint8Array(value.size);
    this.#keyView = new DataView(this.#keyBytes.buffer);
    this.#valueView = new DataView(this.#valueBytes.buffer);
  }

  /** The map pinned at `path`. Throws KernelError ENOENT when nothing is there. */
  static openPinned<K, V>(path: string, descriptor: MapDescriptor<K, V>): TypedMap<K, V> {
    return new TypedMap(BpfMap.openPinned(path, descriptor.name), descriptor);
  }

  /** The map's name. */
  get name(): string {
    return this.raw.name;
  }

  /** How many entries it has room for. */
  get maxEntries(): number {
    return this.raw.maxEntries;
  }

  /** The value of `key`, or undefined. */
  get(key: K): V | undefined {
    const found = this.raw.get(this.#encodeKey(key), this.#valueBytes);
    return found && this.#value.decode(this.#valueView, 0);
  }

  /** Whether the key is there. */
  has(key: K): boolean {
    return this.raw.get(this.#encodeKey(key), this.#valueBytes) !== undefined;
  }

  /** Writes one entry; see `BpfMap.set`. */
  set(key: K, value: V, flag: bigint = UpdateFlag.ANY): void {
    this.#valueBytes.fill(0);
    this.#value.encode(this.#valueView, 0, value);
    this.raw.set(this.#encodeKey(key), this.#valueBytes, flag);
  }

  /** Removes a key; false when it was not there. */
  delete(key: K): boolean {
    return this.raw.delete(this.#encodeKey(key));
  }

  /** All entries; see `BpfMap.forEachBatch` for what concurrent changes do. */
  entries(): Generator<[key: K, value: V]> {
    return this.#entries(() => true);
  }

  /** The entries that are not all zeros: what of an array is in use. */
  used(): Generator<[key: K, value: V]> {
    return this.#entries((values) => !isZero(values));
  }

  *#entries(wanted: (values: Bytes) => boolean) {
    const size = this.#value.size;
    for (const { keys, values, count } of this.raw.batches()) {
      if (!wanted(values.subarray(0, count * size))) continue;
      const keyView = viewOf(keys), valueView = viewOf(values);
      for (let i = 0; i < count; i++) {
        if (!wanted(values.subarray(i * size, (i + 1) * size))) continue;
        yield [
          this.#key.decode(keyView, i * this.#key.size),
          this.#value.decode(valueView, i * size),
        ] as [key: K, value: V];
      }
    }
  }

  /** All keys, in the kernel's order. */
  *keys(): Generator<K> {
    for (const { keys, count } of this.raw.batches()) {
      const view = viewOf(keys);
      for (let i = 0; i < count; i++) yield this.#key.decode(view, i * this.#key.size);
    }
  }

  /** The number of entries, counted by iterating. */
  count(): number {
    let total = 0;
    for (const { count } of this.raw.batches()) total += count;
    return total;
  }

  /** Writes many entries in as few calls as the kernel allows; see `BpfMap.setBatch`. */
  setMany(entries: readonly (readonly [key: K, value: V])[]): void {
    this.#reserve(entries.length);
    this.#batchKeys.fill(0);
    this.#batchValues.fill(0);
    const keyView = viewOf(this.#batchKeys), valueView = viewOf(this.#batchValues);
    entries.forEach(([key, value], i) => {
      this.#key.encode(keyView, i * this.#key.size, key);
      this.#value.encode(valueView, i * this.#value.size, value);
    });
    this.raw.setBatch(this.#batchKeys, this.#batchValues, entries.length);
  }

  /** Removes many keys; those that are not there are passed over. */
  deleteMany(keys: readonly K[]): void {
    this.#reserve(keys.length);
    this.#batchKeys.fill(0);
    const view = viewOf(this.#batchKeys);
    keys.forEach((key, i) => this.#key.encode(view, i * this.#key.size, key));
    this.raw.deleteBatch(this.#batchKeys, keys.length);
  }

  /** Removes every entry of a map that is not an array. */
  clear(): void {
    this.raw.clear();
  }

  /** Closes the map's descriptor. */
  [Symbol.dispose](): void {
    this.raw[Symbol.dispose]();
  }

  #encodeKey(key: K): Bytes {
    this.#keyBytes.fill(0);
    this.#key.encode(this.#keyView, 0, key);
    return this.#keyBytes;
  }

  #reserve(count: number): void {
    if (this.#batchKeys.length < count * this.#key.size) {
      this.#batchKeys = new Uint8Array(count * this.#key.size);
      this.#batchValues = new Uint8Array(count * this.#value.size);
    }
  }
}

function viewOf(bytes: Bytes): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
