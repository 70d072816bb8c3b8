/**
 * The store of nodes that have an etcd, with Kubernetes or without: keys in Cilium's layout. What a node
 * publishes has the node's lease, and goes some time after it has gone.
 */

import { FailureLog } from "../../core/failure_log.ts";
import type { Log } from "../../core/log.ts";
import { problemTable } from "../../core/problem.ts";
import { isResourceName } from "../../kubernetes/names.ts";
import { type ClusterStore, identityTable, remoteAddressTable } from "../cluster_store.ts";
import { IdentityNumbers } from "../identity_numbers.ts";
import type { LabelMap } from "../labels.ts";
import { OriginRows } from "../origin_rows.ts";
import type { IdentityRow } from "../rows.ts";
import { AddressKeys } from "./address_keys.ts";
import type { EtcdAccess } from "./etcd_access.ts";
import { decoded, encoded, EtcdClient, type KeyValue } from "./etcd_client.ts";
import {
  ADDRESSES,
  identityRow,
  labelsValue,
  NUMBERS,
  parseAddress,
  referenceKey,
} from "./layout.ts";
import { Lease } from "./lease.ts";
import { PrefixWatch } from "./prefix_watch.ts";

/** Options for an {@linkcode EtcdStore}. */
export interface EtcdStoreOptions {
  access: () => EtcdAccess;
  /** This node's name. */
  node: string;
  log: Log;
  /**
   * Seconds that what a node publishes outlives it: its pods run on while its agent is replaced.
   *
   * @default {900}
   */
  leaseTtl?: number;
  /** Milliseconds. @default {5000} */
  mostBackoffMs?: number;
  /** Milliseconds that an answer may be awaited. @default {10_000} */
  patienceMs?: number;
}

/** Milliseconds of failures that are told in the log alone: members are restarted. */
const SHORT_MS = 15_000;

/** What is told of the keys below a prefix. */
interface Followed {
  watch: PrefixWatch;
  /** Before all that there is. */
  onList: () => void;
  onPut: (entry: KeyValue) => void;
  onGone: (key: string, modRevision: string) => void;
  keys: Set<string>;
  complete: PromiseWithResolvers<void>;
  isComplete: boolean;
}

/** See the module. */
export class EtcdStore implements ClusterStore {
  readonly addresses = remoteAddressTable();
  readonly identities = identityTable();
  readonly problems = problemTable("cluster-problems");
  readonly endpoints: AddressKeys;
  readonly client: EtcdClient;
  readonly #node: string;
  readonly #lease: Lease;
  readonly #numbers: IdentityNumbers;
  readonly #kinds: readonly Followed[];
  readonly #stop = new AbortController();
  #running: Promise<unknown>[] = [];

  /** Throws AccessError, or TypeError when the node's name is not a name of the API. */
  constructor(options: EtcdStoreOptions) {
    const { access, node, log, leaseTtl: ttl = 900, mostBackoffMs = 5000, patienceMs } = options;
    if (!isResourceName(node)) {
      throw new TypeError(`Cannot publish for ${JSON.stringify(node)}: it is no name`);
    }
    access();
    const { signal } = this.#stop;
    const client = new EtcdClient(access, patienceMs);
    this.#node = node;
    this.client = client;
    const failures = new FailureLog(log, "cluster store");
    const onError = (error: unknown) => {
      if (!signal.aborted) failures.failed(error);
    };
    const onRecovered = () => failures.recovered();
    const rows = new OriginRows(this.addresses);
    this.#lease = new Lease({
      client,
      ttl,
      signal,
      onError,
      onRenewed: () => this.#renew(onError),
    });
    const endpoints = new AddressKeys({
      ...{ client, node, lease: this.#lease, onError },
      labelsOf: (id) => this.identities.get(String(id))?.labels,
    });
    const numbers = new IdentityNumbers({
      ...{ table: this.identities, onError, claim: (row) => this.#claim(row) },
      isUsed: (id) => endpoints.isUsed(id),
    });
    this.endpoints = endpoints;
    this.#numbers = numbers;
    const follow = (
      prefix: string,
      onPut: Followed["onPut"],
      onGone: Followed["onGone"],
      onList = () => {},
    ): Followed => ({
      ...{ onList, onPut, onGone, keys: new Set(), complete: Promise.withResolvers() },
      isComplete: false,
      watch: new PrefixWatch({ client, prefix, signal, onError, onRecovered, mostBackoffMs }),
    });
    this.#kinds = [
      follow(NUMBERS, ({ key, value }) => {
        const row = identityRow(key, value);
        if (row) numbers.seen(row);
      }, (key) => numbers.gone(key.slice(NUMBERS.length))),
      follow(ADDRESSES, ({ key, value, modRevision }) => {
        this.#forget(key);
        try {
          rows.replace(key, [parseAddress(value).address]);
        } catch (error) {
          const message = `is no address as nodes publish it: ${(error as Error).message}`;
          this.problems.set({ source: `etcd ${key}`, reason: "Invalid", message });
        }
        endpoints.seen(key, value, modRevision);
      }, (key, modRevision) => {
        this.#forget(key);
        rows.replace(key, []);
        endpoints.gone(key, modRevision);
      }, () => endpoints.listing()),
    ];
  }

  /** Resolves when all is as etcd has it. */
  async start(): Promise<void> {
    this.#running = this.#kinds.map((kind) => this.#follow(kind));
    const ended = Promise.all(this.#running);
    await Promise.race([Promise.all(this.#kinds.map(({ complete }) => complete.promise)), ended]);
    if (this.#stop.signal.aborted) return;
    this.#running.push(this.#lease.keep());
    // what an earlier run has published gets the lease of this one
    this.endpoints.rewrite();
  }

  async allocate(labels: LabelMap): Promise<number> {
    return await this.#numbers.allocate(labels);
  }

  /** Since when and why what is known of other nodes may not be so by now. */
  staleness(now = Date.now()): string | undefined {
    const late = this.#kinds.find(({ isComplete, watch: { failing } }) =>
      failing && (!isComplete || now - failing.since.getTime() > SHORT_MS)
    );
    return late && `what other nodes publish is not in sync: ${late.watch.failing?.error}`;
  }

  async #follow(kind: Followed): Promise<void> {
    const { watch, keys, onList, onPut, onGone, complete } = kind;
    let said: Set<string> | undefined;
    for await (const change of watch.changes()) {
      switch (change.type) {
        case "list":
          said = new Set();
          onList();
          break;
        case "put":
          said?.add(change.entry.key);
          keys.add(change.entry.key);
          onPut(change.entry);
          break;
        case "gone":
          keys.delete(change.key);
          onGone(change.key, change.modRevision);
          break;
        case "listed":
          for (const key of keys) {
            if (said?.has(key)) continue;
            keys.delete(key);
            // of another state revisions say nothing
            onGone(key, MOST_REVISION);
          }
          said = undefined;
          kind.isComplete = true;
          complete.resolve();
      }
    }
  }

  #forget(key: string): void {
    for (const problem of this.problems.rows()) {
      if (problem.source === `etcd ${key}`) this.problems.delete(this.problems.keyOf(problem));
    }
  }

  /** Throws EtcdError. */
  #claim(row: IdentityRow): Promise<IdentityRow | undefined> {
    return this.#lease.use((lease) => this.#claimWith(lease, row));
  }

  async #claimWith(lease: string, row: IdentityRow): Promise<IdentityRow | undefined> {
    const key = encoded(`${NUMBERS}${row.id}`);
    const reference = {
      request_put: {
        ...{ key: encoded(referenceKey(row.labels, this.#node)), value: encoded(String(row.id)) },
        lease,
      },
    };
    const answer = await this.client.ask("/v3/kv/txn", {
      compare: [{ key, target: "CREATE", result: "EQUAL", create_revision: "0" }],
      success: [{ request_put: { key, value: encoded(labelsValue(row.labels)) } }, reference],
      failure: [{ request_range: { key } }],
    });
    if (answer["succeeded"]) return row;
    const [response] = answer["responses"] as { response_range?: { kvs?: { value?: string }[] } }[];
    const [found] = response?.response_range?.kvs ?? [];
    return found && identityRow(`${NUMBERS}${row.id}`, decoded(found.value));
  }

  /** A new lease: what had the one before is written again. */
  #renew(onError: (error: unknown) => void): void {
    this.endpoints.rewrite();
    this.#running.push(this.#hold().catch(onError));
  }

  /** Writes the references to the numbers that this node's endpoints have. Throws EtcdError. */
  async #hold(): Promise<void> {
    const used = this.identities.rows().filter(({ id }) => this.endpoints.isUsed(id));
    for (const { id, labels } of used) {
      const key = encoded(referenceKey(labels, this.#node));
      await this.#lease.use((lease) =>
        this.client.ask("/v3/kv/put", { key, value: encoded(String(id)), lease })
      );
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error("the agent ends"));
    await Promise.all(this.#running);
    await Promise.all([this.#numbers.settled(), this.endpoints.settled()]);
    this.client[Symbol.dispose]();
  }
}

/** The largest that there can be. */
const MOST_REVISION = String(2n ** 63n - 1n);
