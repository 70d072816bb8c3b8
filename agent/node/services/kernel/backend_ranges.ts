/** The map pilus_backends: a range of rows for each set of backends. Equal sets share one. */

import { mapFingerprint, type TypedMap } from "../../../../datapath/bpf/mod.ts";
import {
  type Backend,
  backend as backendCodec,
  type ServiceSide,
} from "../../../../datapath/maps/generated.ts";
import {
  type BackendSet,
  hasRows,
  ROW_BYTES,
  setLength,
  setOfRows,
  setTexts,
  writeRows,
} from "./backend_set.ts";
import { RangeAllocator } from "./ranges.ts";

const ROW_SIZE = backendCodec.size;
/** Where struct backend counts new connections, 64 bits. */
const HITS = 56;

/** A set and the first of its rows. */
export interface InstalledSet {
  first: number;
  set: BackendSet;
  /** How many rows of pilus_services name it. */
  uses: number;
}

export class BackendRanges {
  readonly #map: TypedMap<number, Backend>;
  readonly #free: RangeAllocator;
  /** By content. */
  readonly #installed = new Map<string, InstalledSet>();
  /** Sets that are not in the kernel yet. */
  readonly #unwritten = new Set<InstalledSet>();
  /** The set before, whose hits a new one takes over. */
  readonly #before = new WeakMap<InstalledSet, InstalledSet>();

  constructor(map: TypedMap<number, Backend>) {
    this.#map = map;
    this.#free = new RangeAllocator(map.maxEntries);
  }

  /** Rows in use. */
  get used(): number {
    return this.#map.maxEntries - 1 - this.#free.left;
  }

  fingerprint(): string {
    return mapFingerprint(this.#map.raw, ROW_BYTES);
  }

  /** The range of the set; see `write`. Throws Error when there is no room for it. */
  use(set: BackendSet, before: InstalledSet | undefined): InstalledSet {
    let installed = this.#installed.get(set.content);
    if (!installed) {
      const first = this.#free.take(setLength(set));
      if (first === undefined) throw full(this.#map.name, this.#map.maxEntries);
      installed = { first, set, uses: 0 };
      this.#installed.set(set.content, installed);
      this.#unwritten.add(installed);
      if (before) this.#before.set(installed, before);
    }
    installed.uses++;
    return installed;
  }

  release(installed: InstalledSet): void {
    if (--installed.uses > 0) return;
    this.#unwritten.delete(installed);
    this.#installed.delete(installed.set.content);
    this.#free.release(installed.first, setLength(installed.set));
  }

  /** Writes the sets that are new since the last call. */
  write(): void {
    this.#write([...this.#unwritten], (installed) => this.#before.get(installed));
    this.#unwritten.clear();
  }

  /** Compares the kernel with what was written, and writes what differs again. Returns those sets. */
  repair(): InstalledSet[] {
    const all = [...this.#installed.values()];
    const image = this.#read(all.map(({ first, set }) => first + setLength(set)));
    const broken = all.filter(({ first, set }) => !hasRows(set, image, first * ROW_SIZE, ROW_SIZE));
    this.#write(broken, (installed) => installed);
    return broken;
  }

  /** Takes over ranges of an earlier agent; undefined for those that make no sense. */
  adopt(sides: readonly ServiceSide[]): (InstalledSet | undefined)[] {
    const image = this.#read(sides.map(({ set, total }) => set + total));
    const known = new Map<number, InstalledSet | undefined>();
    return sides.map(({ set: first, count, total }) => {
      if (first === 0 || total === 0 || count > total) return undefined;
      if (!known.has(first)) known.set(first, this.#claim(first, total, image));
      const installed = known.get(first);
      if (!installed || setLength(installed.set) !== total) return undefined;
      installed.uses++;
      return installed;
    });
  }

  /** How often each backend of the set was chosen, as the programs count. */
  hits({ first, set }: InstalledSet): bigint[] {
    return Array.from(
      { length: setLength(set) },
      (_, i) => this.#map.get(first + i)?.hits ?? 0n,
    );
  }

  #claim(first: number, total: number, image: Uint8Array): InstalledSet | undefined {
    if ((first + total) * ROW_SIZE > image.length) return undefined;
    const set = setOfRows(image.subarray(first * ROW_SIZE), ROW_SIZE, total);
    if (this.#installed.has(set.content) || !this.#free.claim(first, total)) return undefined;
    const installed = { first, set, uses: 0 };
    this.#installed.set(set.content, installed);
    return installed;
  }

  /** @param before the set whose hits are taken over, by backend */
  #write(
    sets: readonly InstalledSet[],
    before: (installed: InstalledSet) => InstalledSet | undefined,
  ): void {
    const count = sets.reduce((sum, { set }) => sum + setLength(set), 0);
    const keys = new Uint32Array(count);
    const rows = new Uint8Array(count * ROW_SIZE);
    const view = new DataView(rows.buffer);
    let at = 0;
    for (const installed of sets) {
      const { first, set } = installed;
      writeRows(set, rows, at * ROW_SIZE, ROW_SIZE);
      const hits = this.#hitsByBackend(before(installed));
      const texts = hits.size > 0 ? setTexts(set) : [];
      for (let i = 0; i < setLength(set); i++, at++) {
        keys[at] = first + i;
        view.setBigUint64(at * ROW_SIZE + HITS, hits.get(texts[i] ?? "") ?? 0n, true);
      }
    }
    this.#map.raw.setBatch(new Uint8Array(keys.buffer), rows, count);
  }

  #hitsByBackend(installed: InstalledSet | undefined): Map<string, bigint> {
    if (!installed) return new Map();
    const texts = setTexts(installed.set);
    return new Map(
      this.hits(installed).map((hits, i) => [texts[i]!, hits] as const).filter(([, hits]) => hits),
    );
  }

  /** The first rows, to the last of `ends`: most of a large map is never used. */
  #read(ends: readonly number[]): Uint8Array {
    const end = Math.min(ends.reduce((a, b) => Math.max(a, b), 0), this.#map.maxEntries);
    const image = new Uint8Array(end * ROW_SIZE);
    if (end === 0) return image;
    for (const { keys, values, count } of this.#map.raw.batches()) {
      const first = new DataView(keys.buffer, keys.byteOffset).getUint32(0, true);
      image.set(values.subarray(0, Math.min(count, end - first) * ROW_SIZE), first * ROW_SIZE);
      if (first + count >= end) break;
    }
    return image;
  }
}

function full(map: string, rows: number): Error {
  return new Error(
    `Map ${map} is full: it has room for ${rows} rows; ` +
      `end the agent, remove the map's pin and start it with --map-size ${map}=${rows * 2}`,
  );
}
