/**
 * Services in the kernel: a frontend's row names sets of backends and Maglev tables, ranges of two
 * arrays. A change writes new ranges, turns the row to them and only then gives the old ones back, so
 * that no packet finds a row that points at nothing. Equal sets are one.
 */

import type { TypedMap } from "../../../../datapath/bpf/mod.ts";
import {
  type Backend,
  backend as backendCodec,
  type Service,
  type ServiceKey,
  ServiceScope,
  type ServiceSide,
} from "../../../../datapath/maps/generated.ts";
import { formatIp } from "../../../../datapath/net/ip.ts";
import { setAll } from "../../map_target.ts";
import type { ApplyResult, RowFailure, Target } from "../../../core/reconciler.ts";
import { Table } from "../../../core/table.ts";
import {
  type BackendSet,
  backendSet,
  backendText,
  sameSet,
  type ServiceBackend,
  setBackends,
  setLength,
  setTexts,
} from "./backend_set.ts";
import { maglevRows, MaglevTable, ROW_SLOTS } from "./maglev.ts";
import { RangeAllocator } from "./ranges.ts";

/** One address, port and protocol that is a service, and who answers there. */
export interface ServiceRow {
  key: ServiceKey;
  /** Number of the service's port. */
  id: number;
  /** `ServiceFlags`. */
  flags: number;
  affinityS: number;
  /** Whether a Maglev table chooses. One backend has a table too: what comes next is told from it. */
  maglev: boolean;
  /** By `ServiceScope`. */
  sides: readonly [BackendSet, BackendSet];
}

export function serviceKeyText({ address, port, protocol }: ServiceKey): string {
  return [formatIp(address), port, protocol].join("|");
}

export function sameService(a: ServiceRow, b: ServiceRow): boolean {
  return a.id === b.id && a.flags === b.flags && a.affinityS === b.affinityS &&
    a.maglev === b.maglev &&
    a.sides.every((side, scope) => sameSet(side, b.sides[scope]!));
}

/** A table of frontends. */
export function serviceTable(): Table<ServiceRow> {
  return new Table<ServiceRow>({
    name: "services",
    key: ({ key }) => serviceKeyText(key),
    equal: sameService,
  });
}

/** Milliseconds that a replaced range stays, for packets on their way through a program. */
const RETIRE_MS = 1000;

/** Milliseconds between looks for slots whose change is long ago. */
const AGE_INTERVAL_MS = 10_000;

/** A range of pilus_backends. */
interface KernelSet {
  first: number;
  set: BackendSet;
  uses: number;
}

/** A range of pilus_maglev. */
interface KernelTable {
  first: number;
  /** `serial` of the table it was made from, or 0, and the content. */
  key: string;
  serial: number;
  table: MaglevTable;
  uses: number;
}

/** What a row of pilus_services names. */
interface Placed {
  row: ServiceRow;
  sets: [KernelSet | undefined, KernelSet | undefined];
  tables: [KernelTable | undefined, KernelTable | undefined];
}

/** Options for {@linkcode ServiceMaps}. */
export interface ServiceMapsOptions {
  services: TypedMap<ServiceKey, Service>;
  backends: TypedMap<number, Backend>;
  /** Rows of slots; see `MaglevTable`. */
  maglev: { raw: TypedMap<number, unknown>["raw"] };
  /** Slots of a table, one of `MAGLEV_SIZES`. */
  maglevSize: number;
  /** Told when the number of services without room for a table has changed. */
  onShortage?: (services: number) => void;
}

const SCOPES = [ServiceScope.SCOPE_INSIDE, ServiceScope.SCOPE_OUTSIDE] as const;

function seconds(): number {
  return Math.floor(performance.timeOrigin / 1000 + performance.now() / 1000);
}

/** The maps pilus_services, pilus_backends and pilus_maglev. */
export class ServiceMaps implements Target<ServiceRow>, Disposable {
  readonly #services: TypedMap<ServiceKey, Service>;
  readonly #backends: TypedMap<number, Backend>;
  readonly #maglev: ServiceMapsOptions["maglev"]["raw"];
  readonly #size: number;
  readonly #onShortage: (services: number) => void;
  readonly #setRanges: RangeAllocator;
  readonly #tableRanges: RangeAllocator;
  readonly #placed = new Map<string, Placed>();
  readonly #sets = new Map<string, KernelSet>();
  readonly #tables = new Map<string, KernelTable>();
  readonly #withoutTable = new Set<string>();
  #nextSerial = 1;
  #retired: (() => void)[] = [];
  #retireTimer: number | undefined;
  readonly #ageTimer: number;
  #adopted = false;

  constructor(options: ServiceMapsOptions) {
    this.#services = options.services;
    this.#backends = options.backends;
    this.#maglev = options.maglev.raw;
    this.#size = options.maglevSize;
    this.#onShortage = options.onShortage ?? (() => {});
    this.#setRanges = new RangeAllocator(this.#backends.maxEntries);
    this.#tableRanges = new RangeAllocator(this.#maglev.maxEntries);
    this.#ageTimer = setInterval(() => this.#age(), AGE_INTERVAL_MS);
  }

  /** The first time what an agent before has left is taken over; later it is compared with what we wrote. */
  read(): ServiceRow[] {
    if (!this.#adopted) {
      this.#adopted = true;
      return this.#adopt();
    }
    const image = this.#readBackends(
      [...this.#sets.values()].map(({ first, set }) => first + setLength(set)),
    );
    const sets = [...this.#sets.values()].filter((kernelSet) => !holds(image, kernelSet));
    this.#writeSets(sets, true);
    const broken = new Set<unknown>([...sets, ...this.#repairTables()]);
    const rows: ServiceRow[] = [];
    const room = this.#tableRanges.fits(maglevRows(this.#size));
    for (const [key, value] of this.#services.entries()) {
      const text = serviceKeyText(key);
      const placed = this.#placed.get(text);
      const same = placed && sameValue(value, valueOf(placed)) &&
        !(room && this.#withoutTable.has(text)) &&
        ![...placed.sets, ...placed.tables].some((range) => broken.has(range));
      // what differs is told as a row that no desired one equals
      rows.push(same ? placed.row : { ...unknownRow(key), id: value.id });
    }
    return rows;
  }

  fingerprint(): string | undefined {
    if (this.#withoutTable.size > 0) return undefined; // there may be room by now
    const tables = this.#tables.size > 0 ? this.#maglev.fingerprint() : "";
    return `${this.#services.raw.fingerprint()} ${
      this.#backends.raw.fingerprint(WRITTEN_BYTES)
    } ${tables}`;
  }

  apply(upserts: ServiceRow[], deletes: ServiceRow[]): ApplyResult<ServiceRow> {
    const failed: RowFailure<ServiceRow>[] = [];
    this.#services.deleteMany(deletes.map(({ key }) => key));
    for (const { key } of deletes) this.#forget(serviceKeyText(key));

    const newSets = new Set<KernelSet>(), newTables = new Set<KernelTable>();
    const ready: Placed[] = [];
    for (const row of upserts) {
      try {
        ready.push(this.#place(row, newSets, newTables));
      } catch (error) {
        failed.push({ row, error: error as Error });
      }
    }
    this.#writeSets([...newSets].filter(({ uses }) => uses > 0));
    this.#writeTables([...newTables].filter(({ uses }) => uses > 0));
    const refused = new Map(
      setAll(this.#services, ready, (placed) => [placed.row.key, valueOf(placed)] as const)
        .map((failure) => [failure.row, failure.error]),
    );
    for (const placed of ready) {
      const error = refused.get(placed);
      if (error) {
        failed.push({ row: placed.row, error });
        this.#release(placed);
      } else {
        const text = serviceKeyText(placed.row.key);
        const before = this.#placed.get(text);
        this.#placed.set(text, placed);
        if (before) this.#retire(before);
      }
    }
    return { failed };
  }

  /** How often each backend of a set was chosen, as the programs count. */
  hits(row: ServiceRow, scope: number): bigint[] {
    const kernelSet = this.#placed.get(serviceKeyText(row.key))?.sets[scope];
    if (!kernelSet) return [];
    return Array.from(
      { length: setLength(kernelSet.set) },
      (_, i) => this.#backends.get(kernelSet.first + i)?.hits ?? 0n,
    );
  }

  /** Rows in use of the two arrays. */
  usage(): { backends: number; maglev: number } {
    return {
      backends: this.#backends.maxEntries - 1 - this.#setRanges.left,
      maglev: this.#maglev.maxEntries - 1 - this.#tableRanges.left,
    };
  }

  #place(row: ServiceRow, newSets: Set<KernelSet>, newTables: Set<KernelTable>): Placed {
    const text = serviceKeyText(row.key);
    const before = this.#placed.get(text);
    const placed: Placed = { row, sets: [undefined, undefined], tables: [undefined, undefined] };
    let short = false;
    try {
      for (const scope of SCOPES) {
        const set = row.sides[scope]!;
        if (setLength(set) === 0) continue;
        const kernelSet = this.#useSet(set, newSets, before?.sets[scope]);
        placed.sets[scope] = kernelSet;
        if (!row.maglev || set.count === 0) continue;
        const table = this.#useTable(set, newTables, before, scope);
        if (table) placed.tables[scope] = table;
        else short = true;
      }
    } catch (error) {
      this.#release(placed);
      throw error;
    }
    this.#noteShortage(text, short);
    return placed;
  }

  #useSet(
    set: BackendSet,
    newSets: Set<KernelSet>,
    before: KernelSet | undefined,
  ): KernelSet {
    let kernelSet = this.#sets.get(set.content);
    if (!kernelSet) {
      const first = this.#setRanges.take(setLength(set));
      if (first === undefined) throw full("pilus_backends", this.#backends.maxEntries);
      kernelSet = { first, set, uses: 0 };
      this.#sets.set(set.content, kernelSet);
      newSets.add(kernelSet);
      if (before) this.#inherit.set(kernelSet, before);
    }
    kernelSet.uses++;
    return kernelSet;
  }

  /** Where a new set's hits are carried over from. */
  readonly #inherit = new WeakMap<KernelSet, KernelSet>();

  #useTable(
    set: BackendSet,
    newTables: Set<KernelTable>,
    before: Placed | undefined,
    scope: 0 | 1,
  ): KernelTable | undefined {
    const old = before?.tables[scope];
    const oldSet = before?.row.sides[scope];
    if (old && oldSet && sameSet(oldSet, set)) {
      old.uses++;
      return old;
    }
    const key = `${old?.serial ?? 0}|${set.count}|${set.weights}|${set.content}`;
    let kernelTable = this.#tables.get(key);
    if (!kernelTable) {
      const first = this.#tableRanges.take(maglevRows(this.#size));
      if (first === undefined) return undefined;
      const candidates = setBackends(set).slice(0, set.count);
      const table = old && oldSet
        ? old.table.change(candidates, movedIndices(oldSet, set), seconds())
        : MaglevTable.create(candidates, this.#size);
      kernelTable = { first, key, serial: this.#nextSerial++, table, uses: 0 };
      this.#tables.set(key, kernelTable);
      newTables.add(kernelTable);
    }
    kernelTable.uses++;
    return kernelTable;
  }

  #writeSets(sets: readonly KernelSet[], again = false): void {
    const entries: [number, Backend][] = [];
    for (const kernelSet of sets) {
      const hits = this.#hitsBefore(again ? kernelSet : this.#inherit.get(kernelSet));
      setBackends(kernelSet.set).forEach(({ address, port, flags }, i) => {
        entries.push([kernelSet.first + i, {
          ...NOBODY,
          address,
          port,
          flags,
          hits: hits?.get(backendText(address, port)) ?? 0n,
        }]);
      });
    }
    if (entries.length > 0) this.#backends.setMany(entries);
  }

  #hitsBefore(from: KernelSet | undefined): Map<string, bigint> | undefined {
    if (!from) return undefined;
    const hits = new Map<string, bigint>();
    for (let i = 0; i < setLength(from.set); i++) {
      const row = this.#backends.get(from.first + i);
      if (row && row.hits > 0n) hits.set(backendText(row.address, row.port), row.hits);
    }
    return hits;
  }

  #writeTables(tables: readonly KernelTable[]): void {
    const rows = maglevRows(this.#size);
    const chunk = Math.max(1, Math.floor(4096 / rows));
    for (let at = 0; at < tables.length; at += chunk) {
      const part = tables.slice(at, at + chunk);
      const keys = new Uint32Array(part.length * rows);
      const values = new Uint32Array(part.length * rows * ROW_SLOTS);
      part.forEach(({ first, table }, i) => {
        for (let row = 0; row < rows; row++) keys[i * rows + row] = first + row;
        values.set(table.slots, i * rows * ROW_SLOTS);
      });
      this.#maglev.setBatch(
        new Uint8Array(keys.buffer),
        new Uint8Array(values.buffer),
        keys.length,
      );
    }
  }

  /** Gives back what `placed` names, when packets that still read it are through. */
  #retire(placed: Placed): void {
    this.#retired.push(() => this.#release(placed));
    this.#retireTimer ??= setTimeout(() => {
      this.#retireTimer = undefined;
      for (const work of this.#retired.splice(0)) work();
    }, RETIRE_MS);
  }

  #release({ sets, tables }: Placed): void {
    for (const kernelSet of sets) {
      if (!kernelSet || --kernelSet.uses > 0) continue;
      this.#sets.delete(kernelSet.set.content);
      this.#setRanges.release(kernelSet.first, setLength(kernelSet.set));
    }
    for (const kernelTable of tables) {
      if (!kernelTable || --kernelTable.uses > 0) continue;
      this.#tables.delete(kernelTable.key);
      this.#tableRanges.release(kernelTable.first, maglevRows(this.#size));
    }
  }

  #forget(text: string): void {
    const placed = this.#placed.get(text);
    if (!placed) return;
    this.#placed.delete(text);
    this.#noteShortage(text, false);
    this.#retire(placed);
  }

  #noteShortage(text: string, short: boolean): void {
    if (short === this.#withoutTable.has(text)) return;
    if (short) this.#withoutTable.add(text);
    else this.#withoutTable.delete(text);
    this.#onShortage(this.#withoutTable.size);
  }

  #age(): void {
    const now = seconds();
    this.#writeTables([...this.#tables.values()].filter(({ table }) => table.age(now)));
  }

  /** The first rows, to the last of `ends`: most of a large map is never used. */
  #readBackends(ends: readonly number[]): Uint8Array {
    const size = backendCodec.size;
    const end = Math.min(ends.reduce((a, b) => Math.max(a, b), 0), this.#backends.maxEntries);
    const image = new Uint8Array(end * size);
    if (end === 0) return image;
    for (const { keys, values, count } of this.#backends.raw.batches()) {
      const first = new DataView(keys.buffer, keys.byteOffset).getUint32(0, true);
      image.set(values.subarray(0, Math.min(count, end - first) * size), first * size);
      if (first + count >= end) break;
    }
    return image;
  }

  #readTables(wanted: ReadonlySet<number> | ReadonlyMap<number, unknown>) {
    const rows = new Map<number, Uint32Array>();
    for (const { keys, values, count } of this.#maglev.batches()) {
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

  /** Returns the tables that it had to write again. */
  #repairTables(): Set<KernelTable> {
    const owners = new Map<number, KernelTable>();
    for (const table of this.#tables.values()) {
      for (let i = 0; i < maglevRows(this.#size); i++) owners.set(table.first + i, table);
    }
    const broken = new Set<KernelTable>();
    if (owners.size === 0) return broken;
    const rows = this.#readTables(owners);
    for (const [row, slots] of rows) {
      const owner = owners.get(row)!;
      const from = (row - owner.first) * ROW_SLOTS;
      if (!slots.every((slot, i) => slot === owner.table.slots[from + i])) broken.add(owner);
    }
    this.#writeTables([...broken]);
    return broken;
  }

  /** Rows, sets and tables of an agent before. What makes no sense is left out, and so replaced. */
  #adopt(): ServiceRow[] {
    const rows: ServiceRow[] = [];
    const services = [...this.#services.entries()];
    const sides = services.flatMap(([, { side }]) => side);
    const image = this.#readBackends(sides.map(({ set, total }) => set + total));
    const tables = this.#readAdoptedTables(sides);
    const view = new DataView(image.buffer);
    const sets = new Map<number, BackendSet>();
    const known = new Map<number, KernelSet>();
    for (const { set: first, total } of sides) {
      if (first === 0 || sets.has(first)) continue;
      if ((first + total) * backendCodec.size > image.length) continue;
      const backends: ServiceBackend[] = [];
      for (let i = 0; i < total; i++) {
        const { address, port, flags } = backendCodec.decode(view, (first + i) * backendCodec.size);
        backends.push({ address, port, flags, weight: 1 });
      }
      sets.set(first, backendSet(backends, total));
    }
    for (const [key, value] of services) {
      const placed: Placed = {
        row: { ...unknownRow(key), id: value.id },
        sets: [undefined, undefined],
        tables: [undefined, undefined],
      };
      for (const scope of SCOPES) {
        this.#adoptSide(placed, scope, value.side[scope]!, sets, tables, known);
      }
      const side = (scope: 0 | 1) => {
        const set = placed.sets[scope]?.set;
        return set ? { ...set, count: value.side[scope]!.count } : EMPTY;
      };
      placed.row = {
        key,
        id: value.id,
        flags: value.flags,
        affinityS: value.affinityS,
        // weights are not in the kernel: rows with tables are written anew, from their old tables
        maglev: false,
        sides: [side(0), side(1)],
      };
      this.#placed.set(serviceKeyText(key), placed);
      rows.push(
        placed.tables.some((table) => table) ? { ...unknownRow(key), id: value.id } : placed.row,
      );
    }
    return rows;
  }

  #adoptSide(
    placed: Placed,
    scope: 0 | 1,
    side: ServiceSide,
    sets: ReadonlyMap<number, BackendSet>,
    tables: ReadonlyMap<number, Uint32Array<ArrayBuffer>>,
    known: Map<number, KernelSet>,
  ): void {
    const set = sets.get(side.set);
    if (!set || side.total !== setLength(set) || side.count > side.total) return;
    let kernelSet = known.get(side.set);
    if (!kernelSet) {
      if (this.#sets.has(set.content) || !this.#setRanges.claim(side.set, setLength(set))) {
        return;
      }
      kernelSet = { first: side.set, set, uses: 0 };
      this.#sets.set(set.content, kernelSet);
      known.set(side.set, kernelSet);
    }
    kernelSet.uses++;
    placed.sets[scope] = kernelSet;
    const slots = tables.get(side.table);
    if (!slots) return;
    const key = `adopted ${side.table}`;
    let table = this.#tables.get(key);
    if (!table) {
      if (!this.#tableRanges.claim(side.table, maglevRows(this.#size))) return;
      table = {
        first: side.table,
        key,
        serial: this.#nextSerial++,
        table: MaglevTable.adopt(slots, this.#size, seconds()),
        uses: 0,
      };
      this.#tables.set(key, table);
    }
    table.uses++;
    placed.tables[scope] = table;
  }

  #readAdoptedTables(sides: readonly ServiceSide[]): Map<number, Uint32Array<ArrayBuffer>> {
    const firsts = new Set(sides.map(({ table }) => table).filter((table) => table > 0));
    const length = maglevRows(this.#size);
    const wanted = new Set([...firsts].flatMap((f) => Array.from({ length }, (_, i) => f + i)));
    const result = new Map<number, Uint32Array<ArrayBuffer>>();
    if (wanted.size === 0) return result;
    const rows = this.#readTables(wanted);
    for (const first of firsts) {
      const slots = new Uint32Array(length * ROW_SLOTS);
      for (let i = 0; i < length; i++) slots.set(rows.get(first + i) ?? [], i * ROW_SLOTS);
      result.set(first, slots);
    }
    return result;
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#retireTimer);
    clearInterval(this.#ageTimer);
  }
}

/** Address, port and flags: programs write what follows. */
const WRITTEN_BYTES = 19;

const NOBODY: Backend = {
  address: new Uint8Array(16),
  port: 0,
  flags: 0,
  hop: {
    ifindex: 0,
    mtu: 0,
    nextMac: new Uint8Array(6),
    ownMac: new Uint8Array(6),
    resolved: 0n,
  },
  hits: 0n,
};

const EMPTY = backendSet([], 0);
/** Equals no set that is wanted. */
const UNKNOWN: BackendSet = { ...EMPTY, content: "?" };

/** A row that equals none that is wanted. */
export function unknownRow(key: ServiceKey): ServiceRow {
  return { key, id: 0, flags: 0, affinityS: 0, maglev: false, sides: [UNKNOWN, UNKNOWN] };
}

function valueOf({ row, sets, tables }: Placed): Service {
  const side = (scope: 0 | 1): ServiceSide => ({
    set: sets[scope]?.first ?? 0,
    count: sets[scope] ? row.sides[scope]!.count : 0,
    table: tables[scope]?.first ?? 0,
    total: sets[scope] ? setLength(sets[scope].set) : 0,
  });
  return { id: row.id, flags: row.flags, affinityS: row.affinityS, side: [side(0), side(1)] };
}

function sameValue(a: Service, b: Service): boolean {
  return a.id === b.id && a.flags === b.flags && a.affinityS === b.affinityS &&
    a.side.every(({ set, count, table, total }, scope) => {
      const other = b.side[scope]!;
      return set === other.set && count === other.count && table === other.table &&
        total === other.total;
    });
}

/** For each index of `from` the index of the same backend in `to`, or -1. */
function movedIndices(from: BackendSet, to: BackendSet): Int32Array {
  const index = new Map(setTexts(to).map((text, i) => [text, i]));
  return Int32Array.from(setTexts(from), (text) => index.get(text) ?? -1);
}

/** Whether the image of the array has the set; what programs write is passed over. */
function holds(image: Uint8Array, { first, set }: KernelSet): boolean {
  return setBackends(set).every(({ address, port, flags }, i) => {
    const at = (first + i) * backendCodec.size;
    if (image[at + 16] !== port >> 8 || image[at + 17] !== (port & 0xff)) return false;
    if (image[at + 18] !== flags) return false;
    for (let byte = 0; byte < 16; byte++) if (image[at + byte] !== address[byte]) return false;
    return true;
  });
}

function full(map: string, rows: number): Error {
  return new Error(
    `Map ${map} is full: it has room for ${rows} rows; ` +
      `restart the agent with --map-size ${map}=${rows * 2}`,
  );
}
