/** The map pilus_maglev: a range of rows for each Maglev table. Equal tables share one. */

import { mapFingerprint, type TypedMap } from "../../../../datapath/bpf/mod.ts";
import { type BackendSet, movedIndices, sameSet, setBackends } from "./backend_set.ts";
import { maglevRows, MaglevTable, ROW_SLOTS } from "./maglev.ts";
import { RangeAllocator } from "./ranges.ts";

/** A table and the first of its rows. */
export interface InstalledTable {
  first: number;
  /** `serial` of the table it was made from, or 0, and the content. */
  key: string;
  serial: number;
  table: MaglevTable;
  /** How many rows of pilus_services name it. */
  uses: number;
}

/** The table of a frontend so far, and the set that it was for. */
export interface TableBefore {
  installed: InstalledTable;
  set: BackendSet;
}

/** Rows written in one call. */
const BATCH = 4096;

function seconds(): number {
  return Math.floor(performance.timeOrigin / 1000 + performance.now() / 1000);
}

export class MaglevRanges {
  readonly #map: TypedMap<number, unknown>["raw"];
  readonly #size: number;
  /** Rows of a table. */
  readonly #length: number;
  readonly #free: RangeAllocator;
  readonly #installed = new Map<string, InstalledTable>();
  /** Tables that are not in the kernel yet. */
  readonly #unwritten = new Set<InstalledTable>();
  #nextSerial = 1;

  /** @param size slots of a table, one of `MAGLEV_SIZES` */
  constructor(map: TypedMap<number, unknown>["raw"], size: number) {
    this.#map = map;
    this.#size = size;
    this.#length = maglevRows(size);
    this.#free = new RangeAllocator(map.maxEntries);
  }

  /** Rows in use. */
  get used(): number {
    return this.#map.maxEntries - 1 - this.#free.left;
  }

  /** Whether there is room for one more table. */
  get hasRoom(): boolean {
    return this.#free.fits(this.#length);
  }

  fingerprint(): string {
    return this.#installed.size > 0 ? mapFingerprint(this.#map) : "";
  }

  /** The range of the set's table; see `write`. Undefined when there is no room for it. */
  use(set: BackendSet, before: TableBefore | undefined): InstalledTable | undefined {
    if (before && sameSet(before.set, set)) {
      before.installed.uses++;
      return before.installed;
    }
    const key = `${before?.installed.serial ?? 0}|${set.count}|${set.weights}|${set.content}`;
    let installed = this.#installed.get(key);
    if (!installed) {
      const first = this.#free.take(this.#length);
      if (first === undefined) return undefined;
      const candidates = setBackends(set).slice(0, set.count);
      const table = before
        ? before.installed.table.change(candidates, movedIndices(before.set, set), seconds())
        : MaglevTable.create(candidates, this.#size);
      installed = this.#install(key, first, table);
      this.#unwritten.add(installed);
    }
    installed.uses++;
    return installed;
  }

  release(installed: InstalledTable): void {
    if (--installed.uses > 0) return;
    this.#unwritten.delete(installed);
    this.#installed.delete(installed.key);
    this.#free.release(installed.first, this.#length);
  }

  /** Writes the tables that are new since the last call. */
  write(): void {
    this.#write([...this.#unwritten]);
    this.#unwritten.clear();
  }

  /** Writes the tables in which time has taken flags away. */
  age(): void {
    const now = seconds();
    this.#write([...this.#installed.values()].filter(({ table }) => table.age(now)));
  }

  /** Compares the kernel with what was written, and writes what differs again. Returns those tables. */
  repair(): InstalledTable[] {
    const owners = new Map<number, InstalledTable>();
    for (const installed of this.#installed.values()) {
      for (let i = 0; i < this.#length; i++) owners.set(installed.first + i, installed);
    }
    const broken = new Set<InstalledTable>();
    for (const [row, slots] of this.#read(owners)) {
      const owner = owners.get(row)!;
      const from = (row - owner.first) * ROW_SLOTS;
      if (!slots.every((slot, i) => slot === owner.table.slots[from + i])) broken.add(owner);
    }
    this.#write([...broken]);
    return [...broken];
  }

  /** Takes over tables of an earlier agent by their first rows; 0 and what makes no sense: undefined. */
  adopt(firsts: readonly number[]): (InstalledTable | undefined)[] {
    const tables = this.#readTables(new Set(firsts.filter((first) => first > 0)));
    return firsts.map((first) => {
      const slots = tables.get(first);
      if (!slots) return undefined;
      const key = `adopted ${first}`;
      let installed = this.#installed.get(key);
      if (!installed) {
        if (!this.#free.claim(first, this.#length)) return undefined;
        installed = this.#install(key, first, MaglevTable.adopt(slots, this.#size, seconds()));
      }
      installed.uses++;
      return installed;
    });
  }

  #install(key: string, first: number, table: MaglevTable): InstalledTable {
    const installed = { first, key, serial: this.#nextSerial++, table, uses: 0 };
    this.#installed.set(key, installed);
    return installed;
  }

  #write(tables: readonly InstalledTable[]): void {
    const chunk = Math.max(1, Math.floor(BATCH / this.#length));
    for (let at = 0; at < tables.length; at += chunk) {
      const part = tables.slice(at, at + chunk);
      const keys = new Uint32Array(part.length * this.#length);
      const values = new Uint32Array(keys.length * ROW_SLOTS);
      part.forEach(({ first, table }, i) => {
        for (let row = 0; row < this.#length; row++) keys[i * this.#length + row] = first + row;
        values.set(table.slots, i * this.#length * ROW_SLOTS);
      });
      this.#map.setBatch(
        new Uint8Array(keys.buffer),
        new Uint8Array(values.buffer),
        keys.length,
      );
    }
  }

  #readTables(firsts: ReadonlySet<number>): Map<number, Uint32Array<ArrayBuffer>> {
    const wanted = new Set<number>();
    for (const first of firsts) {
      for (let i = 0; i < this.#length; i++) wanted.add(first + i);
    }
    const rows = this.#read(wanted);
    const tables = new Map<number, Uint32Array<ArrayBuffer>>();
    for (const first of firsts) {
      const slots = new Uint32Array(this.#length * ROW_SLOTS);
      for (let i = 0; i < this.#length; i++) slots.set(rows.get(first + i) ?? [], i * ROW_SLOTS);
      tables.set(first, slots);
    }
    return tables;
  }

  #read(wanted: ReadonlySet<number> | ReadonlyMap<number, unknown>): Map<number, Uint32Array> {
    const rows = new Map<number, Uint32Array>();
    if (wanted.size === 0) return rows;
    for (const { keys, values, count } of this.#map.batches()) {
      if (rows.size === wanted.size) break;
      const view = new DataView(keys.buffer, keys.byteOffset, count * 4);
      for (let i = 0; i < count; i++) {
        const row = view.getUint32(i * 4, true);
        if (!wanted.has(row)) continue;
        const bytes = values.slice(i * ROW_SLOTS * 4, (i + 1) * ROW_SLOTS * 4);
        rows.set(row, new Uint32Array(bytes.buffer));
      }
    }
    return rows;
  }
}
