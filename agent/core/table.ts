/**
 * Rows under text keys, with a revision and watchers. Everything the agent knows and wants is in
 * tables; a change of one table makes the derivations and reconcilers behind it run.
 */

import { FailureScope } from "./derivation_failures.ts";
import { equalData } from "./equal.ts";
import { schedule } from "./schedule.ts";

/** What became of one row since the last delivery. */
export type Change<Row> =
  | { kind: "added"; key: string; row: Row }
  | { kind: "updated"; key: string; row: Row; previous: Row }
  | { kind: "deleted"; key: string; previous: Row };

/**
 * Gets the net changes of a microtask, many of them in parts: a row that came and went is not among
 * them. When it throws, it gets the same changes again together with the next ones.
 */
export type Listener<Row> = (changes: readonly Change<Row>[]) => void;

/** Options for a {@linkcode Table}. */
export interface TableOptions<Row> {
  /** Shown in status and errors. */
  name: string;
  /** The row's key, unique in the table. */
  key: (row: Row) => string;
  /**
   * Whether two rows of one key say the same: such a `set` changes nothing.
   *
   * @default {equalData}
   */
  equal?: (a: Row, b: Row) => boolean;
}

/** Changes of one delivery. */
const DELIVERED = 1024;

interface Watcher<Row> {
  listener: Listener<Row>;
  /** While the listener fails: the rows as they were when it last succeeded. */
  missed?: { before: Map<string, Row | undefined>; failures: FailureScope };
}

/** What a table is to those that only read it. */
export type ReadonlyTable<Row> = Omit<Table<Row>, "set" | "delete" | "replace">;

/** Rows by key. A row that is in a table must not be changed in place: set a new one. */
export class Table<Row> {
  readonly name: string;
  /** Of a source table 0, of a derived one more than any of its inputs. Kept by `derive`. */
  level = 0;
  #rows = new Map<string, Row>();
  #key: (row: Row) => string;
  #equal: (a: Row, b: Row) => boolean;
  #revision = 0;
  /** The rows as they were at the last delivery; undefined when there was none. */
  #before = new Map<string, Row | undefined>();
  #watchers = new Set<Watcher<Row>>();

  constructor({ name, key, equal = equalData }: TableOptions<Row>) {
    this.name = name;
    this.#key = key;
    this.#equal = equal;
  }

  /** Grows with each change. */
  get revision(): number {
    return this.#revision;
  }

  get size(): number {
    return this.#rows.size;
  }

  keyOf(row: Row): string {
    return this.#key(row);
  }

  /** Rows that cannot be compared differ. */
  equal(a: Row, b: Row): boolean {
    try {
      return this.#equal(a, b);
    } catch {
      return false;
    }
  }

  has(key: string): boolean {
    return this.#rows.has(key);
  }

  get(key: string): Row | undefined {
    return this.#rows.get(key);
  }

  /** A copy of the rows in the order they came: safe to iterate while the table changes. */
  rows(): Row[] {
    return [...this.#rows.values()];
  }

  keys(): string[] {
    return [...this.#rows.keys()];
  }

  /**
   * Adds the row or puts it in the place of the one with its key. Returns whether that changed
   * anything.
   *
   * @param key the row's key, from who has it already
   */
  set(row: Row, key: string = this.#key(row)): boolean {
    const previous = this.#rows.get(key);
    if (previous !== undefined && this.equal(previous, row)) return false;
    this.#rows.set(key, row);
    this.#touch(key, previous);
    return true;
  }

  /** Removes the row of that key. Returns whether there was one. */
  delete(key: string): boolean {
    const previous = this.#rows.get(key);
    if (!this.#rows.delete(key)) return false;
    this.#touch(key, previous);
    return true;
  }

  /** Makes `rows` the whole content; only the differences are changes. A throw of `rows` changes nothing. */
  replace(rows: Iterable<Row>): void {
    const all = [...rows];
    const keys = all.map(this.#key);
    const gone = new Set(this.#rows.keys());
    for (const [i, row] of all.entries()) {
      gone.delete(keys[i]!);
      this.set(row, keys[i]);
    }
    for (const key of gone) this.delete(key);
  }

  /**
   * Calls `listener` with later changes, until disposed of. What is in the table now is no change:
   * read `rows()`.
   */
  watch(listener: Listener<Row>): Disposable {
    while (this.#before.size > 0) this.#deliver();
    const watcher: Watcher<Row> = { listener };
    this.#watchers.add(watcher);
    return {
      [Symbol.dispose]: () => {
        this.#watchers.delete(watcher);
        watcher.missed?.failures[Symbol.dispose]();
      },
    };
  }

  #touch(key: string, previous: Row | undefined): void {
    this.#revision++;
    if (this.#watchers.size === 0) return;
    if (!this.#before.has(key)) this.#before.set(key, previous);
    schedule(this.level, this.#deliver);
  }

  #deliver = (): void => {
    if (this.#before.size === 0) return;
    const before = new Map(this.#before.entries().take(DELIVERED));
    for (const key of before.keys()) this.#before.delete(key);
    if (this.#before.size > 0) schedule(this.level, this.#deliver);
    const changes = this.#changesSince(before);
    for (const watcher of [...this.#watchers]) this.#deliverTo(watcher, before, changes);
  };

  #deliverTo(
    watcher: Watcher<Row>,
    before: ReadonlyMap<string, Row | undefined>,
    fresh: readonly Change<Row>[],
  ): void {
    const { missed } = watcher;
    for (const [key, row] of missed ? before : []) {
      if (!missed!.before.has(key)) missed!.before.set(key, row);
    }
    const changes = missed ? this.#changesSince(missed.before) : fresh;
    try {
      if (changes.length > 0) watcher.listener(changes);
      missed?.failures.clear("watcher");
      delete watcher.missed;
    } catch (error) {
      watcher.missed ??= { before: new Map(before), failures: new FailureScope(this.name) };
      watcher.missed.failures.fail("watcher", error);
    }
  }

  #changesSince(before: ReadonlyMap<string, Row | undefined>): Change<Row>[] {
    const changes: Change<Row>[] = [];
    for (const [key, previous] of before) {
      const row = this.#rows.get(key);
      if (row === undefined) {
        if (previous !== undefined) changes.push({ kind: "deleted", key, previous });
      } else if (previous === undefined) {
        changes.push({ kind: "added", key, row });
      } else if (!this.equal(previous, row)) {
        changes.push({ kind: "updated", key, row, previous });
      }
    }
    return changes;
  }
}
