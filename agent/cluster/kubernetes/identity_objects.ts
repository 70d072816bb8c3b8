/**
 * Numbers for label sets as CiliumIdentities, which are named by their number: the API server makes an
 * object of a name once, so two nodes never give one number to two label sets. All begin to look at the
 * number that the labels hash to, so they find the same one.
 */

import type { Table } from "../../core/table.ts";
import type { ApiClient } from "../../kubernetes/client/api_client.ts";
import { ApiError } from "../../kubernetes/client/api_error.ts";
import type { CiliumIdentity } from "../../kubernetes/cilium_endpoint.ts";
import { type ApiObject, pathOf, requestOf } from "../../kubernetes/watch/watched_kind.ts";
import { IDENTITY_MAX, IDENTITY_MIN } from "../identities.ts";
import { hash32, type LabelMap, labelsKey } from "../labels.ts";
import type { IdentityRow } from "../rows.ts";
import { IDENTITIES } from "./published_kinds.ts";

/** Milliseconds that a number which was asked for is held without an endpoint that has it. */
const HOLD_MS = 600_000;

/** What {@linkcode IdentityObjects} takes. */
export interface IdentityObjectsOptions {
  client: ApiClient;
  table: Table<IdentityRow>;
  /** Whether an endpoint of this node has the number. */
  isUsed: (id: number) => boolean;
  /** Is told what the server has answered, which its watch need not have said yet. */
  onAnswer: (object: ApiObject) => void;
  onError: (error: unknown) => void;
}

/** See the module. */
export class IdentityObjects {
  readonly #options: IdentityObjectsOptions;
  /** By label set, the numbers that it has: more than one when two nodes were not in sync. */
  readonly #numbers = new Map<string, Set<number>>();
  /** By label set, the search for its number that is under way. */
  readonly #searches = new Map<string, Promise<number>>();
  /** By number, when it was last asked for. */
  readonly #askedAt = new Map<number, number>();
  #running = new Set<Promise<unknown>>();

  constructor(options: IdentityObjectsOptions) {
    this.#options = options;
  }

  /** Throws ApiError, RangeError when all numbers are taken. */
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

  seen(value: CiliumIdentity): void {
    this.#set({ id: Number(value.metadata.name), labels: value["security-labels"] });
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

  #set(row: IdentityRow): void {
    const { table } = this.#options;
    const before = table.get(String(row.id));
    if (before && labelsKey(before.labels) !== labelsKey(row.labels)) this.#unset(before);
    table.set(row);
    const key = labelsKey(row.labels);
    const numbers = this.#numbers.get(key);
    if (numbers) numbers.add(row.id);
    else this.#numbers.set(key, new Set([row.id]));
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

  /** Whether the number is that of the labels now. Throws ApiError. */
  async #make(row: IdentityRow): Promise<boolean> {
    const { client, onAnswer } = this.#options;
    const { apiVersion, kind } = IDENTITIES;
    const path = pathOf(IDENTITIES);
    const metadata = { name: String(row.id) };
    const body = { apiVersion, kind, metadata, "security-labels": row.labels };
    const answer = await client.json({ ...requestOf(IDENTITIES, "create"), path, body })
      .catch((error) => {
        if (!(error instanceof ApiError) || error.code !== "conflict") throw error;
        return client.json({ ...requestOf(IDENTITIES, "get"), path: `${path}/${row.id}` });
      }) as ApiObject & CiliumIdentity;
    this.seen(answer);
    onAnswer(answer);
    return labelsKey(answer["security-labels"]) === labelsKey(row.labels);
  }
}
