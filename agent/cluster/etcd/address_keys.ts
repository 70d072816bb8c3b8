/**
 * The endpoints that a node publishes as keys of etcd, one an address, under the node's lease. A change of
 * an endpoint is one request.
 */

import { attemptEach } from "../../core/attempt_each.ts";
import { equalData } from "../../core/equal.ts";
import type { ApplyResult, Target } from "../../core/reconciler.ts";
import { checkNames } from "../checked_names.ts";
import type { LabelMap } from "../labels.ts";
import { type PublishedEndpoint, publishedEndpointKey } from "../rows.ts";
import { encoded, type EtcdClient } from "./etcd_client.ts";
import { addressEntries, parseAddress } from "./layout.ts";
import type { Lease } from "./lease.ts";

/** Operations of a transaction: etcd takes 128. */
const OPERATIONS = 100;

/** What etcd has under a key. */
interface Said {
  value: string;
  modRevision: string;
}

/** What {@linkcode AddressKeys} takes. */
export interface AddressKeysOptions {
  client: EtcdClient;
  /** This node's name. */
  node: string;
  lease: Lease;
  labelsOf: (identity: number) => LabelMap | undefined;
  onError: (error: unknown) => void;
}

/** A target for a reconciler. What goes without its doing is written again when etcd says so. */
export class AddressKeys implements Target<PublishedEndpoint> {
  readonly #options: AddressKeysOptions;
  /** By key of etcd, what this node has there. */
  readonly #said = new Map<string, Said>();
  /** By key of etcd, what is to be there. */
  readonly #wanted = new Map<string, { value: string; endpoint: string }>();
  /** By endpoint, what is to be published of it. */
  readonly #rows = new Map<string, PublishedEndpoint>();
  readonly #running = new Set<Promise<unknown>>();

  constructor(options: AddressKeysOptions) {
    this.#options = options;
  }

  isUsed(identity: number): boolean {
    return this.#rows.values().some((row) => row.identity === identity);
  }

  read(): PublishedEndpoint[] {
    const rows = new Map<string, PublishedEndpoint>();
    for (const { value } of this.#said.values()) {
      const { row } = parseAddress(value);
      const key = publishedEndpointKey(row);
      const identityLabels = this.#options.labelsOf(row.identity) ?? {};
      // each has one of the addresses
      rows.set(key, { ...rows.get(key), ...row, identityLabels });
    }
    return Array.from(rows, ([key, found]) => {
      const wanted = this.#rows.get(key);
      const { node } = this.#options;
      const same = wanted && equalData(addressEntries(wanted, node), addressEntries(found, node));
      return same ? wanted : found;
    });
  }

  async apply(
    upserts: PublishedEndpoint[],
    deletes: PublishedEndpoint[],
  ): Promise<ApplyResult<PublishedEndpoint>> {
    const works: [PublishedEndpoint, string[]][] = [];
    const plan = (isWanted: boolean) => (row: PublishedEndpoint) => {
      checkNames(row);
      works.push([row, this.#want(row, isWanted)]);
    };
    const failed = [...attemptEach(upserts, plan(true)), ...attemptEach(deletes, plan(false))];
    // as many endpoints in a transaction as fit
    for (let i = 0; i < works.length;) {
      const batch: typeof works = [];
      let size = 0;
      for (; i < works.length && size + works[i]![1].length <= OPERATIONS; i++) {
        batch.push(works[i]!);
        size += works[i]![1].length;
      }
      try {
        await this.#write([...new Set(batch.flatMap(([, keys]) => keys))]);
      } catch (error) {
        failed.push(...batch.map(([row]) => ({ row, error: error as Error })));
      }
    }
    return { failed };
  }

  /** Takes over what an earlier run has written, and notes what etcd has. */
  seen(key: string, value: string, modRevision: string): void {
    let owner: string | undefined;
    try {
      owner = parseAddress(value).node;
    } catch { /* whoever wrote it */ }
    if (owner !== this.#options.node) {
      this.#said.delete(key);
      return;
    }
    const known = this.#said.get(key);
    if (known && BigInt(known.modRevision) > BigInt(modRevision)) return;
    this.#said.set(key, { value, modRevision });
    const wanted = this.#wanted.get(key);
    if (wanted && wanted.value !== value) this.#heal([key]);
  }

  gone(key: string, modRevision: string): void {
    const known = this.#said.get(key);
    if (known && BigInt(known.modRevision) > BigInt(modRevision)) return;
    this.#said.delete(key);
    if (this.#wanted.has(key)) this.#heal([key]);
  }

  /** A list follows, maybe of another state: revisions from before say nothing. */
  listing(): void {
    for (const [key, { value }] of this.#said) this.#said.set(key, { value, modRevision: "0" });
  }

  /** All is written again: with the lease that there is now, and what was lost. */
  rewrite(): void {
    const keys = [...new Set([...this.#said.keys(), ...this.#wanted.keys()])];
    for (let i = 0; i < keys.length; i += OPERATIONS) this.#heal(keys.slice(i, i + OPERATIONS));
  }

  /** Resolves when no write is under way. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#running);
  }

  /** Notes what is to be. Returns the keys that are concerned. */
  #want(row: PublishedEndpoint, isWanted: boolean): string[] {
    const { node } = this.#options;
    const key = publishedEndpointKey(row);
    const before = this.#rows.get(key) ?? row;
    const keys = new Set(addressEntries(before, node).map(([key]) => key));
    // another endpoint may have the address by now
    for (const each of keys) {
      if (this.#wanted.get(each)?.endpoint === key) this.#wanted.delete(each);
    }
    if (!isWanted) {
      this.#rows.delete(key);
      return [...keys];
    }
    this.#rows.set(key, row);
    for (const [each, value] of addressEntries(row, node)) {
      this.#wanted.set(each, { value, endpoint: key });
      keys.add(each);
    }
    return [...keys];
  }

  #heal(keys: readonly string[]): void {
    const running = this.#write(keys).catch(this.#options.onError)
      .finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  /** Brings the keys to what is wanted, or what was there and nobody has wanted yet. Throws EtcdError. */
  async #write(keys: readonly string[]): Promise<void> {
    if (keys.length === 0) return;
    await this.#options.lease.use((id) => this.#writeWith(id, keys));
  }

  async #writeWith(lease: string, keys: readonly string[]): Promise<void> {
    const puts = new Map<string, string>();
    const success = keys.flatMap((key) => {
      const said = this.#said.get(key);
      const value = this.#wanted.get(key)?.value;
      if (value === undefined) return said ? [deletion(key, said.modRevision)] : [];
      puts.set(key, value);
      return [{ request_put: { key: encoded(key), value: encoded(value), lease } }];
    });
    if (success.length === 0) return;
    const { header } = await this.#options.client.ask("/v3/kv/txn", { success }) as {
      header?: { revision?: string };
    };
    const modRevision = header?.revision ?? "0";
    for (const [key, value] of puts) this.#said.set(key, { value, modRevision });
    for (const key of keys) if (!puts.has(key)) this.#said.delete(key);
  }
}

/** Of what is as it was: another node may have the address by now. */
function deletion(key: string, modRevision: string): Record<string, unknown> {
  const compare = [{
    ...{ key: encoded(key), target: "MOD", result: "EQUAL", mod_revision: modRevision },
  }];
  return {
    request_txn: { compare, success: [{ request_delete_range: { key: encoded(key) } }] },
  };
}
