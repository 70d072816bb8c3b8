/**
 * The store of nodes that have an API server: each publishes its own pods' endpoints as
 * CiliumEndpointSlices, and numbers are CiliumIdentities.
 */

import { FailureLog } from "../../core/failure_log.ts";
import type { Log } from "../../core/log.ts";
import { pause } from "../../core/pause.ts";
import { problemTable } from "../../core/problem.ts";
import type { ApiClient } from "../../kubernetes/client/api_client.ts";
import type { CiliumIdentity } from "../../kubernetes/cilium_endpoint.ts";
import type { CiliumEndpointSlice } from "../../kubernetes/cilium_endpoint_slice.ts";
import { KindWatch, type WatchTiming } from "../../kubernetes/watch/kind_watch.ts";
import type { SavedObjects } from "../../kubernetes/watch/saved_objects.ts";
import { type ClusterStore, identityTable, remoteAddressTable } from "../cluster_store.ts";
import { IdentityNumbers } from "../identity_numbers.ts";
import type { LabelMap } from "../labels.ts";
import { OriginRows } from "../origin_rows.ts";
import { EndpointSlices } from "./endpoint_slices.ts";
import { claimIdentityObject, rowOf } from "./identity_objects.ts";
import { IDENTITIES, SLICES } from "./published_kinds.ts";
import { PublishedObjects } from "./published_objects.ts";
import { addressesOf } from "./slice_form.ts";

/** Options for a {@linkcode KubernetesStore}. */
export interface KubernetesStoreOptions {
  client: ApiClient;
  saved: SavedObjects;
  /** This node's name. */
  node: string;
  log: Log;
  /**
   * Milliseconds that the start waits for the server when what it said last is known.
   *
   * @default {5000}
   */
  startPatienceMs?: number;
  timing?: Partial<WatchTiming>;
}

/** Milliseconds of failures that are told in the log alone: servers are restarted. */
const SHORT_MS = 15_000;

interface Followed {
  watch: KindWatch;
  objects: PublishedObjects<CiliumIdentity> | PublishedObjects<CiliumEndpointSlice>;
}

/** See the module. */
export class KubernetesStore implements ClusterStore {
  readonly addresses = remoteAddressTable();
  readonly identities = identityTable();
  readonly problems = problemTable("cluster-problems");
  readonly endpoints: EndpointSlices;
  readonly #options: KubernetesStoreOptions;
  readonly #numbers: IdentityNumbers;
  readonly #kinds: readonly Followed[];
  readonly #stop = new AbortController();
  #running: Promise<unknown>[] = [];

  /** Throws TypeError when the node's name is not a name of the API. */
  constructor(options: KubernetesStoreOptions) {
    const { client, saved, node, log, timing = {} } = options;
    const { problems } = this;
    this.#options = options;
    const rows = new OriginRows(this.addresses);
    const failures = new FailureLog(log, "cluster store");
    const failed = (error: unknown) => {
      if (!this.#stop.signal.aborted) failures.failed(error);
    };
    const onRecovered = () => failures.recovered();
    const endpoints = new EndpointSlices({
      ...{ client, node, onError: failed },
      labelsOf: (id) => this.identities.get(String(id))?.labels,
    });
    this.endpoints = endpoints;
    const identities = new PublishedObjects<CiliumIdentity>({
      ...{ kind: IDENTITIES, saved, problems },
      onObject: ({ value }) => numbers.seen(rowOf(value)),
      onGone: (name) => numbers.gone(name),
    });
    const numbers = new IdentityNumbers({
      ...{ table: this.identities, onError: failed },
      isUsed: (id) => endpoints.isUsed(id),
      async claim(row) {
        const object = await claimIdentityObject(client, row);
        // the watch need not have said it yet
        await identities.apply({ type: "object", object });
        return rowOf(object);
      },
    });
    this.#numbers = numbers;
    const watch = (kind: typeof IDENTITIES) =>
      new KindWatch({
        ...{ client, kind, signal: this.#stop.signal, timing, onError: failed, onRecovered },
      });
    this.#kinds = [
      { watch: watch(IDENTITIES), objects: identities },
      {
        watch: watch(SLICES),
        objects: new PublishedObjects<CiliumEndpointSlice>({
          ...{ kind: SLICES, saved, problems },
          onObject(object) {
            rows.replace(object.name, addressesOf(object.value));
            endpoints.seen(object);
          },
          onGone(name, version) {
            rows.replace(name, []);
            endpoints.gone(name, version);
          },
        }),
      },
    ];
  }

  /** Resolves when all is as the server has it, or, while it is away, as it said last. */
  async start(): Promise<void> {
    const recalled = this.#kinds.map(({ objects }) => objects.recall()).every((all) => all);
    const { signal } = this.#stop;
    this.#running = this.#kinds.map(async ({ watch, objects }) => {
      for await (const change of watch.changes()) await objects.apply(change);
    });
    const complete = Promise.all(this.#kinds.map(({ objects }) => objects.complete));
    const { startPatienceMs = 5000 } = this.#options;
    const ended = Promise.all(this.#running);
    await Promise.race([complete, ended, ...(recalled ? [pause(startPatienceMs, signal)] : [])]);
  }

  allocate(labels: LabelMap): Promise<number> {
    return this.#numbers.allocate(labels);
  }

  /** Since when and why what is known of other nodes may not be so by now. */
  staleness(now = Date.now()): string | undefined {
    const late = this.#kinds.filter(({ watch, objects }) => {
      const { state, since } = watch.status;
      return state !== "watching" && (!objects.isComplete || now - since.getTime() > SHORT_MS);
    });
    if (late.length === 0) return undefined;
    const kinds = late.map(({ watch }) => watch.kind.kind).join(", ");
    const reason = late.find(({ watch }) => watch.status.error)?.watch.status.error ??
      "no answer yet";
    const missing = /does not have it/.test(reason)
      ? "; install the CustomResourceDefinitions that `pilus manifest` prints"
      : "";
    return `what other nodes publish is not in sync (${kinds}): ${reason}${missing}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error("the agent ends"));
    await Promise.all(this.#running);
    await Promise.all([this.#numbers.settled(), this.endpoints.settled()]);
  }
}
