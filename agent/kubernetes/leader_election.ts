/**
 * Which of several processes does what only one may: the one that holds a Lease of the API server, and
 * renews it. How long others have not renewed is measured by the clock of who waits: no two clocks are
 * compared.
 */

import { pause } from "../core/pause.ts";
import type { ApiClient, ApiRequest } from "./client/api_client.ts";
import { ApiError } from "./client/api_error.ts";

/** What a {@linkcode LeaderElection} takes. */
export interface LeaderElectionOptions {
  client: ApiClient;
  namespace: string;
  /** Of the Lease. */
  name: string;
  /** Of this process; no two have the same. */
  holder: string;
  signal: AbortSignal;
  onError: (error: unknown) => void;
  /**
   * Milliseconds without a renewal after which another may take the Lease. Who has it stops two thirds
   * of that after the last one.
   *
   * @default {15_000}
   */
  durationMs?: number;
}

/** A Lease as far as it is read. */
interface Lease {
  metadata: { name: string; resourceVersion?: string };
  spec?: { holderIdentity?: string | null; leaseTransitions?: number | null };
}

/** See the module. */
export class LeaderElection {
  readonly #options: LeaderElectionOptions & { durationMs: number };
  /** The Lease as it was last seen, and when it was first seen so. */
  #seen: { lease: Lease; since: number } | undefined;

  constructor(options: LeaderElectionOptions) {
    this.#options = { durationMs: 15_000, ...options };
  }

  /** Runs `lead` each time this process is elected, until its signal says that it is not any more. */
  async run(lead: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const { signal, durationMs, onError } = this.#options;
    while (!signal.aborted) {
      try {
        if (await this.#acquire()) await this.#leadUntilLost(lead);
      } catch (error) {
        if (!signal.aborted) onError(error);
      }
      // no two at the same moment
      await pause(durationMs / 8 * (1 + Math.random()), signal);
    }
  }

  async #leadUntilLost(lead: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const { signal, durationMs, onError } = this.#options;
    const lost = new AbortController();
    const leading = lead(AbortSignal.any([signal, lost.signal])).catch(onError);
    let renewedAt = performance.now();
    while (await pause(durationMs / 8, signal)) {
      const asked = performance.now();
      try {
        if (!await this.#acquire()) break;
        renewedAt = asked;
      } catch (error) {
        onError(error);
      }
      if (performance.now() - renewedAt > durationMs * 2 / 3) break;
    }
    lost.abort(new Error("the Lease is another's"));
    await leading;
    if (signal.aborted) await this.#release().catch(onError);
  }

  /** Takes or renews the Lease. Resolves to whether it is ours. Throws ApiError. */
  async #acquire(): Promise<boolean> {
    const { holder, durationMs, signal } = this.#options;
    const lease = await this.#get();
    const owner = lease?.spec?.holderIdentity;
    if (lease && owner && owner !== holder) {
      const version = lease.metadata.resourceVersion;
      if (this.#seen?.lease.metadata.resourceVersion !== version) {
        this.#seen = { lease, since: performance.now() };
      }
      if (performance.now() - this.#seen!.since < durationMs) return false;
    }
    try {
      await this.#write(lease, holder, signal);
      return true;
    } catch (error) {
      // somebody was faster
      if (error instanceof ApiError && error.code === "conflict") return false;
      throw error;
    }
  }

  /** Others need not wait. Throws ApiError. */
  async #release(): Promise<void> {
    const lease = await this.#get(null);
    if (lease?.spec?.holderIdentity === this.#options.holder) await this.#write(lease, "", null);
  }

  async #get(signal: AbortSignal | null = this.#options.signal): Promise<Lease | undefined> {
    try {
      return await this.#ask("get", signal) as Lease;
    } catch (error) {
      if (error instanceof ApiError && error.code === "notFound") return undefined;
      throw error;
    }
  }

  async #write(
    before: Lease | undefined,
    holderIdentity: string,
    signal: AbortSignal | null,
  ): Promise<void> {
    const { name, namespace, durationMs } = this.#options;
    const transitions = before?.spec?.leaseTransitions ?? 0;
    const changed = before?.spec?.holderIdentity !== holderIdentity;
    await this.#ask(before ? "update" : "create", signal, {
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      // it must be as it was seen
      metadata: { name, namespace, resourceVersion: before?.metadata.resourceVersion },
      spec: {
        holderIdentity,
        leaseDurationSeconds: Math.max(1, Math.ceil(durationMs / 1000)),
        renewTime: new Date().toISOString().replace("Z", "000Z"),
        leaseTransitions: transitions + (before && changed ? 1 : 0),
      },
    });
  }

  #ask(verb: ApiRequest["verb"], signal: AbortSignal | null, body?: unknown): Promise<unknown> {
    const { client, namespace, name, durationMs } = this.#options;
    const all = `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`;
    return client.json({
      ...{ verb, group: "coordination.k8s.io", resource: "leases" },
      path: verb === "create" ? all : `${all}/${name}`,
      patienceMs: () => durationMs / 3,
      ...(signal ? { signal } : {}),
      ...(body === undefined ? {} : { body }),
    });
  }
}
