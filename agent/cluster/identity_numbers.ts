/**
 * Numbers for label sets in a store that makes a number's entry once, so two nodes never give one number
 * to two label sets. All begin to look at the number that the labels hash to, so they find the same one.
 */

import type { Table } from "../core/table.ts";
import { IDENTITY_MAX, IDENTITY_MIN } from "./identities.ts";
import { hash32, type LabelMap, labelsKey } from "./labels.ts";
import type { IdentityRow } from "./rows.ts";

/** Milliseconds that a number which was asked for is held without an endpoint that has it. */
const HOLD_MS = 600_000;

/** What {@linkcode IdentityNumbers} takes. */
export interface IdentityNumbersOptions {
  /**
   * Makes the number's entry where there is none. Resolves to what it has then, which may be of others;
   * to undefined when that is not known.
   */
  claim: (row: IdentityRow) => Promise<IdentityRow | undefined>;
  table: Table<IdentityRow>;
  /** Whether an endpoint of this node has the number. */
  isUsed: (id: number) => boolean;
  onError: (error: unknown) => void;
}

/** See the module. */
export class IdentityNumbers {
  readonly #options: IdentityNumbersOptions;
  /** By label set, the numbers that it has: more than one when two nodes were not in sync. */
  readonly #numbers = new Map<string, Set<number>>();
  /** By label set, the search for its number that is under way. */
  readonly #searches = new Map<string, Promise<number>>();
  /** By number, when it was last asked for. */
  readonly #askedAt = new Map<number, number>();
  readonly #running = new Set<Promise<unknown>>();

  constructor(options: IdentityNumbersOptions) {
    this.#options = options;
  }

  /** Throws what the claim does, RangeError when all numbers are taken. */
  async allocate(labels: LabelMap): Promise<number> {
    const key = labelsKey(labels);
    const known = this.#numbers.get(key);
    if (known) return this.#asked(Math.min(...known));
    let search = this.#searches.get(key);
    if (!search) {
      search = this.#claim(labels, key).finally(() => this.#searches.delete(key));
      this.#searches.set(key, search);
    }
    return this.#asked(await search);
  }

  seen(row: IdentityRow): void {
    const { table } = this.#options;
    const before = table.get(String(row.id));
    if (before && labelsKey(before.labels) !== labelsKey(row.labels)) this.#unset(before);
    table.set(row);
    const key = labelsKey(row.labels);
    const numbers = this.#numbers.get(key);
    if (numbers) numbers.add(row.id);
    else this.#numbers.set(key, new Set([row.id]));
  }

  /** One that is in use here is made again. */
  gone(name: string): void {
    const { table, isUsed, onError } = this.#options;
    const row = table.get(name);
    if (!row) return;
    this.#unset(row);
    const askedAt = this.#askedAt.get(row.id) ?? -Infinity;
    if (!isUsed(row.id) && performance.now() - askedAt > HOLD_MS) {
      this.#askedAt.delete(row.id);
      return;
    }
    const running = this.#make(row).then((made) => {
      if (!made) onError(new Error(`identity ${row.id} was deleted and given to other labels`));
    }, onError).finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  /** Resolves when nothing is under way. */
  async settled(): Promise<void> {
    await Promise.allSettled([...this.#searches.values(), ...this.#running]);
  }

  #asked(id: number): number {
    this.#askedAt.set(id, performance.now());
    return id;
  }

  #unset({ id, labels }: IdentityRow): void {
    this.#options.table.delete(String(id));
    const key = labelsKey(labels);
    const numbers = this.#numbers.get(key);
    numbers?.delete(id);
    if (numbers?.size === 0) this.#numbers.delete(key);
  }

  async #claim(labels: LabelMap, key: string): Promise<number> {
    const { table } = this.#options;
    const range = IDENTITY_MAX - IDENTITY_MIN + 1;
    const start = hash32(key) % range;
    for (let i = 0; i < range; i++) {
      const id = IDENTITY_MIN + (start + i) % range;
      if (!table.has(String(id)) && await this.#make({ id, labels })) return id;
    }
    throw new RangeError(
      `No identity is free: all of ${IDENTITY_MIN} to ${IDENTITY_MAX} are taken`,
    );
  }

  /** Whether the number is that of the labels now. */
  async #make(row: IdentityRow): Promise<boolean> {
    const found = await this.#options.claim(row);
    if (!found) return false;
    this.seen(found);
    return labelsKey(found.labels) === labelsKey(row.labels);
  }
}
