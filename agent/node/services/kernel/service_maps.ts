/**
 * Services in the kernel: a frontend's row names sets of backends and Maglev tables, ranges of two
 * arrays. A change writes new ranges, turns the row to them and only then gives the old ones back, so
 * that no packet finds a row that points at nothing.
 */

import { mapFingerprint, type TypedMap } from "../../../../datapath/bpf/mod.ts";
import type {
  Backend,
  Service,
  ServiceKey,
  ServiceSide,
} from "../../../../datapath/maps/generated.ts";
import { setAll } from "../../map_target.ts";
import { attemptEach } from "../../../core/attempt_each.ts";
import type { ApplyResult, Target } from "../../../core/reconciler.ts";
import type { Timer } from "../../../core/timer.ts";
import { BackendRanges, type InstalledSet } from "./backend_ranges.ts";
import { EMPTY_SET, setLength } from "./backend_set.ts";
import { type InstalledTable, MaglevRanges } from "./maglev_ranges.ts";
import { type Scope, SCOPES, serviceKeyText, type ServiceRow, unknownRow } from "./service_row.ts";

/** Milliseconds that a replaced range stays, for packets on their way through a program. */
const RETIRE_MS = 1000;

/** Milliseconds between looks for slots whose change is long ago. */
const AGE_INTERVAL_MS = 10_000;

/** What a row of pilus_services names. */
interface InstalledService {
  row: ServiceRow;
  sets: [InstalledSet | undefined, InstalledSet | undefined];
  tables: [InstalledTable | undefined, InstalledTable | undefined];
}

/** Options for {@linkcode ServiceMaps}. */
export interface ServiceMapsOptions {
  services: TypedMap<ServiceKey, Service>;
  backends: TypedMap<number, Backend>;
  /** Rows of slots; see `MaglevTable`. */
  maglev: { raw: TypedMap<number, unknown>["raw"] };
  /** Slots of a table, one of `MAGLEV_SIZES`. */
  maglevSize: number;
  /** Called with the number of services without room for a table when that has changed. */
  onShortage?: (services: number) => void;
}

/** The maps pilus_services, pilus_backends and pilus_maglev. */
export class ServiceMaps implements Target<ServiceRow>, Disposable {
  readonly #services: TypedMap<ServiceKey, Service>;
  readonly #sets: BackendRanges;
  readonly #tables: MaglevRanges;
  readonly #onShortage: (services: number) => void;
  readonly #installed = new Map<string, InstalledService>();
  readonly #withoutTable = new Set<string>();
  #retired: InstalledService[] = [];
  #retireTimer: Timer | undefined;
  readonly #ageTimer: Timer;
  #adopted = false;

  constructor(options: ServiceMapsOptions) {
    this.#services = options.services;
    this.#sets = new BackendRanges(options.backends);
    this.#tables = new MaglevRanges(options.maglev.raw, options.maglevSize);
    this.#onShortage = options.onShortage ?? (() => {});
    this.#ageTimer = setInterval(() => this.#tables.age(), AGE_INTERVAL_MS);
  }

  /** The first time takes over what an earlier agent has left; later compares with what was written. */
  read(): ServiceRow[] {
    if (!this.#adopted) {
      this.#adopted = true;
      return this.#adopt();
    }
    const broken = new Set<unknown>([...this.#sets.repair(), ...this.#tables.repair()]);
    const rows: ServiceRow[] = [];
    const room = this.#tables.hasRoom;
    for (const [key, value] of this.#services.entries()) {
      const text = serviceKeyText(key);
      const installed = this.#installed.get(text);
      const same = installed && sameValue(value, valueOf(installed)) &&
        !(room && this.#withoutTable.has(text)) &&
        ![...installed.sets, ...installed.tables].some((range) => broken.has(range));
      rows.push(same ? installed.row : unknownRow(key, value.id));
    }
    return rows;
  }

  fingerprint(): string | undefined {
    if (this.#withoutTable.size > 0) return undefined; // there may be room by now
    return [
      mapFingerprint(this.#services.raw),
      this.#sets.fingerprint(),
      this.#tables.fingerprint(),
    ].join(" ");
  }

  apply(upserts: ServiceRow[], deletes: ServiceRow[]): ApplyResult<ServiceRow> {
    this.#services.deleteMany(deletes.map(({ key }) => key));
    for (const { key } of deletes) this.#forget(serviceKeyText(key));

    const ready: InstalledService[] = [];
    const failed = attemptEach(upserts, (row) => ready.push(this.#install(row)));
    try {
      this.#sets.write();
      this.#tables.write();
    } catch (error) {
      for (const installed of ready) this.#release(installed);
      throw error;
    }
    const refused = new Map(
      setAll(this.#services, ready, (installed) => [installed.row.key, valueOf(installed)] as const)
        .map((failure) => [failure.row, failure.error]),
    );
    for (const installed of ready) {
      const error = refused.get(installed);
      if (error) {
        failed.push({ row: installed.row, error });
        this.#release(installed);
      } else {
        const text = serviceKeyText(installed.row.key);
        const before = this.#installed.get(text);
        this.#installed.set(text, installed);
        if (before) this.#retire(before);
      }
    }
    return { failed };
  }

  /** How often each backend of a set was chosen, as the programs count. */
  hits(row: ServiceRow, scope: number): bigint[] {
    const set = this.#installed.get(serviceKeyText(row.key))?.sets[scope];
    return set ? this.#sets.hits(set) : [];
  }

  /** Rows in use of the two arrays. */
  usage(): { backends: number; maglev: number } {
    return { backends: this.#sets.used, maglev: this.#tables.used };
  }

  /** Gives the row its ranges. Throws Error when there is no room for its backends. */
  #install(row: ServiceRow): InstalledService {
    const text = serviceKeyText(row.key);
    const before = this.#installed.get(text);
    const installed: InstalledService = {
      row,
      sets: [undefined, undefined],
      tables: [undefined, undefined],
    };
    let short = false;
    try {
      for (const scope of SCOPES) {
        const set = row.sides[scope];
        if (setLength(set) === 0) continue;
        installed.sets[scope] = this.#sets.use(set, before?.sets[scope]);
        if (!row.maglev || set.count === 0) continue;
        const table = before?.tables[scope];
        installed.tables[scope] = this.#tables.use(
          set,
          table && { installed: table, set: before.row.sides[scope] },
        );
        if (!installed.tables[scope]) short = true;
      }
    } catch (error) {
      this.#release(installed);
      throw error;
    }
    this.#noteShortage(text, short);
    return installed;
  }

  /** Gives back what the service's row named, when packets that still read it are through. */
  #retire(installed: InstalledService): void {
    this.#retired.push(installed);
    this.#retireTimer ??= setTimeout(() => {
      this.#retireTimer = undefined;
      for (const retired of this.#retired.splice(0)) this.#release(retired);
    }, RETIRE_MS);
  }

  #release({ sets, tables }: InstalledService): void {
    for (const set of sets) if (set) this.#sets.release(set);
    for (const table of tables) if (table) this.#tables.release(table);
  }

  #forget(text: string): void {
    const installed = this.#installed.get(text);
    if (!installed) return;
    this.#installed.delete(text);
    this.#noteShortage(text, false);
    this.#retire(installed);
  }

  #noteShortage(text: string, short: boolean): void {
    if (short === this.#withoutTable.has(text)) return;
    if (short) this.#withoutTable.add(text);
    else this.#withoutTable.delete(text);
    this.#onShortage(this.#withoutTable.size);
  }

  /** Rows, sets and tables of an earlier agent. What makes no sense is left out, and so replaced. */
  #adopt(): ServiceRow[] {
    const services = [...this.#services.entries()];
    const sides = services.flatMap(([, { side }]) => side);
    const sets = this.#sets.adopt(sides);
    const tables = this.#tables.adopt(sides.map(({ table }, i) => sets[i] ? table : 0));
    return services.map(([key, value], i) => {
      const ofScope = <T>(all: readonly T[]) => SCOPES.map((scope) => all[2 * i + scope]) as [T, T];
      const side = (scope: Scope) => {
        const set = sets[2 * i + scope]?.set;
        return set ? { ...set, count: value.side[scope]!.count } : EMPTY_SET;
      };
      const installed: InstalledService = {
        row: {
          key,
          id: value.id,
          flags: value.flags,
          affinityS: value.affinityS,
          maglev: false,
          sides: [side(0), side(1)],
        },
        sets: ofScope(sets),
        tables: ofScope(tables),
      };
      this.#installed.set(serviceKeyText(key), installed);
      // weights are not in the kernel: rows with tables are written anew, from their old tables
      return installed.tables.some((table) => table) ? unknownRow(key, value.id) : installed.row;
    });
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#retireTimer);
    clearInterval(this.#ageTimer);
  }
}

function valueOf({ row, sets, tables }: InstalledService): Service {
  const side = (scope: Scope): ServiceSide => ({
    set: sets[scope]?.first ?? 0,
    count: sets[scope] ? row.sides[scope].count : 0,
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
