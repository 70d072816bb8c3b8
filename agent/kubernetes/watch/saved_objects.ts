/**
 * What the API server said last, on disk: an agent starts with it when the server is away. Each object
 * is a row, so that a change costs what is changed.
 */

import type { DatabaseSync } from "node:sqlite";
import { openDatabase, putAside, transaction } from "../../core/database.ts";
import type { Timer } from "../../core/timer.ts";
import { isRecord } from "../schema.ts";

/** Milliseconds from a change to its writing, together with others. */
const DELAY_MS = 1000;

/** Rows of one transaction. */
const ROWS = 1000;

/** See the module. */
export class SavedObjects implements Disposable {
  readonly #database: DatabaseSync;
  /** By kind and key; undefined for what is gone. */
  readonly #pending = new Map<string, [kind: string, key: string, text: string | undefined]>();
  #timer: Timer | undefined;
  /** Why what is in force would not be after a restart. */
  #fault: string | undefined;
  #closed = false;
  readonly #onBroken: (reason: string) => void;

  /**
   * Throws when the file cannot be had. `onBroken` is told of one that was spoilt, or is of another
   * version, and put aside, and of kinds that were spoilt in it.
   */
  constructor(path: string, onBroken: (reason: string) => void = () => {}) {
    this.#onBroken = onBroken;
    this.#database = openDatabase(path, onBroken);
    try {
      makeTables(this.#database);
    } catch (error) {
      this.#database.close();
      putAside(path);
      onBroken((error as Error).message);
      this.#database = openDatabase(path, onBroken);
      makeTables(this.#database);
    }
  }

  get fault(): string | undefined {
    return this.#fault;
  }

  /** The kind's objects; undefined, and nothing is left of them, when they are not all there. */
  objects(kind: string): unknown[] | undefined {
    try {
      if (this.#database.prepare("SELECT 1 FROM complete WHERE kind = ?").get(kind)) {
        return this.#database.prepare("SELECT key, object FROM objects WHERE kind = ?").all(kind)
          .map(objectOf);
      }
    } catch (error) {
      this.#onBroken(`${kind}: ${(error as Error).message}`);
    }
    transaction(this.#database, () => {
      this.#database.prepare("DELETE FROM complete WHERE kind = ?").run(kind);
      // what is gone when the server is asked anew would stay
      this.#database.prepare("DELETE FROM objects WHERE kind = ?").run(kind);
    });
    return undefined;
  }

  set(kind: string, key: string, object: unknown): void {
    this.#later(kind, key, JSON.stringify(object));
  }

  delete(kind: string, key: string): void {
    this.#later(kind, key, undefined);
  }

  /** All objects of the kind are here, once those that are pending are written. */
  complete(kind: string): void {
    this.#later(kind, "", "");
  }

  #later(kind: string, key: string, text: string | undefined): void {
    if (this.#closed) return;
    this.#pending.set(`${kind} ${key}`, [kind, key, text]);
    this.#timer ??= setTimeout(() => this.#write(), DELAY_MS);
  }

  #write(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    // the mark of completeness is written after what came before it
    const rows = [...this.#pending.entries().take(ROWS)];
    try {
      transaction(this.#database, () => {
        const set = this.#database.prepare("INSERT OR REPLACE INTO objects VALUES (?, ?, ?)");
        const remove = this.#database.prepare("DELETE FROM objects WHERE kind = ? AND key = ?");
        const mark = this.#database.prepare("INSERT OR IGNORE INTO complete VALUES (?)");
        for (const [, [kind, key, text]] of rows) {
          if (key === "") mark.run(kind);
          else if (text === undefined) remove.run(kind, key);
          else set.run(kind, key, text);
        }
      });
      this.#fault = undefined;
      for (const [key] of rows) this.#pending.delete(key);
    } catch (error) {
      this.#fault = `cannot be written, and would not be in force after a restart: ${error}`;
    }
    if (this.#pending.size > 0) this.#timer = setTimeout(() => this.#write(), this.#delay());
  }

  #delay(): number {
    return this.#fault === undefined ? 0 : DELAY_MS;
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    while (this.#pending.size > 0 && this.#fault === undefined) this.#write();
    clearTimeout(this.#timer);
    this.#database.close();
  }
}

/** Throws when there are tables of another form. */
function makeTables(database: DatabaseSync): void {
  database.exec(
    "CREATE TABLE IF NOT EXISTS objects (kind TEXT, key TEXT, object TEXT, " +
      "PRIMARY KEY (kind, key)) WITHOUT ROWID; " +
      "CREATE TABLE IF NOT EXISTS complete (kind TEXT PRIMARY KEY)",
  );
  database.prepare("SELECT kind, key, object FROM objects LIMIT 1").get();
  database.prepare("SELECT kind FROM complete LIMIT 1").get();
}

/** Throws when the row is no object that was saved. */
function objectOf({ key, object: text }: Record<string, unknown>): unknown {
  const object = JSON.parse(String(text));
  const metadata = isRecord(object) ? object["metadata"] : undefined;
  if (isRecord(metadata)) {
    const { namespace = "", name } = metadata;
    if (typeof name === "string" && typeof namespace === "string") return object;
  }
  throw new Error(`${key} is no object`);
}
