/**
 * Keeps up with the keys that begin with a text: a range, and a watch from its revision on; a range
 * again when etcd has compacted what came after that revision, or was put back to an older state. A
 * range says all that there is: what it does not say is gone.
 */

import { pause } from "../../core/pause.ts";
import { Backoff } from "../../kubernetes/watch/backoff.ts";
import {
  type Answer,
  decoded,
  encoded,
  endOf,
  type EtcdClient,
  EtcdError,
  type KeyValue,
} from "./etcd_client.ts";

/** What became of the keys. */
export type KeyChange =
  /** What is said from here to `listed` is all there is. */
  | { type: "list" }
  | { type: "listed" }
  | { type: "put"; entry: KeyValue }
  | { type: "gone"; key: string; modRevision: string };

/** Keys of one answer. */
const PAGE = 1000;

/** What a {@linkcode PrefixWatch} takes. */
export interface PrefixWatchOptions {
  client: EtcdClient;
  prefix: string;
  signal: AbortSignal;
  onError: (error: unknown) => void;
  /** Is told of the first success after failures. */
  onRecovered: () => void;
  mostBackoffMs?: number;
}

/** See the module. */
export class PrefixWatch {
  readonly #options: PrefixWatchOptions;
  /** Of what was heard last; undefined when a range is due. */
  #revision: bigint | undefined;
  #cluster: unknown;
  /** Since when it fails, and why; undefined while it is in sync. */
  failing: { since: Date; error: string } | undefined = {
    since: new Date(),
    error: "no answer yet",
  };
  /** Ranges that were asked for. */
  lists = 0;

  constructor(options: PrefixWatchOptions) {
    this.#options = options;
  }

  /** All changes, until the signal is aborted. */
  async *changes(): AsyncGenerator<KeyChange> {
    const { signal, onError, mostBackoffMs = 5000 } = this.#options;
    const backoff = new Backoff(100);
    while (!signal.aborted) {
      try {
        if (this.#revision === undefined) yield* this.#list();
        yield* this.#watch(() => backoff.reset());
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof EtcdError && error.code === "gone") this.#revision = undefined;
        const reason = error instanceof Error ? error.message : String(error);
        this.failing = { since: this.failing?.since ?? new Date(), error: reason };
        onError(error);
        await pause(backoff.next(mostBackoffMs), signal);
      }
    }
  }

  /** Throws EtcdError. */
  async *#list(): AsyncGenerator<KeyChange> {
    const { client, prefix, signal } = this.#options;
    this.lists++;
    yield { type: "list" };
    let from = prefix;
    let revision: string | undefined;
    for (;;) {
      const answer = await client.ask("/v3/kv/range", {
        key: encoded(from),
        range_end: encoded(endOf(prefix)),
        limit: PAGE,
        ...(revision === undefined ? {} : { revision }),
      }, signal);
      const header = headerOf(answer);
      revision ??= header.revision;
      this.#cluster = header.cluster;
      const entries = Array.isArray(answer["kvs"]) ? answer["kvs"].map(entryOf) : [];
      for (const entry of entries) yield { type: "put", entry };
      const last = entries.at(-1);
      if (answer["more"] !== true || !last) break;
      from = `${last.key}\0`;
    }
    yield { type: "listed" };
    this.#revision = BigInt(revision);
  }

  /** Throws EtcdError. Ends never by itself but by that. */
  async *#watch(onCreated: () => void): AsyncGenerator<KeyChange> {
    const { client, prefix, signal } = this.#options;
    const create_request = {
      key: encoded(prefix),
      range_end: encoded(endOf(prefix)),
      start_revision: String(this.#revision! + 1n),
      progress_notify: true,
    };
    for await (const answer of client.stream("/v3/watch", { create_request }, signal)) {
      // before anything else, as it says no revision then
      if (answer["canceled"]) {
        const compacted = answer["compact_revision"] !== undefined;
        const reason = String(answer["cancel_reason"] ?? "its revision was compacted");
        throw new EtcdError(compacted ? "gone" : "strange", `etcd ended the watch: ${reason}`);
      }
      const { revision, cluster } = headerOf(answer);
      // an etcd that was restored from a backup says nothing until it is where we were
      if (cluster !== this.#cluster || answer["created"] && BigInt(revision) < this.#revision!) {
        throw new EtcdError("gone", "etcd was put back to another state");
      }
      if (answer["created"]) {
        this.failing = undefined;
        this.#options.onRecovered();
        onCreated();
      }
      for (const event of Array.isArray(answer["events"]) ? answer["events"] : []) {
        const entry = entryOf(event.kv);
        const { key, modRevision } = entry;
        yield event.type === "DELETE" ? { type: "gone", key, modRevision } : { type: "put", entry };
        this.#revision = BigInt(modRevision);
      }
      // of no event it says how far it is
      if (!answer["created"] && !answer["events"]) this.#revision = BigInt(revision);
    }
    throw new EtcdError("unreachable", "etcd ended the connection of the watch");
  }
}

function headerOf(answer: Answer): { revision: string; cluster: unknown } {
  const header = answer["header"] as { revision?: unknown; cluster_id?: unknown } | undefined;
  if (typeof header?.revision === "string") {
    return { revision: header.revision, cluster: header.cluster_id };
  }
  throw new EtcdError("strange", "the answer has no revision: is this etcd?");
}

function entryOf(kv: Record<string, unknown>): KeyValue {
  return {
    key: decoded(kv["key"]),
    value: decoded(kv["value"]),
    modRevision: String(kv["mod_revision"] ?? "0"),
  };
}
