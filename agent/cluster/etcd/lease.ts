/** A lease of etcd that is kept alive; a new one when etcd has it no more. */

import { pause } from "../../core/pause.ts";
import { type EtcdClient, EtcdError } from "./etcd_client.ts";

/** What a {@linkcode Lease} takes. */
export interface LeaseOptions {
  client: EtcdClient;
  /** Seconds that what has the lease outlives its node. */
  ttl: number;
  signal: AbortSignal;
  /** Is told of each new lease but the first. */
  onRenewed: () => void;
  onError: (error: unknown) => void;
}

/** See the module. */
export class Lease {
  readonly #options: LeaseOptions;
  #id: Promise<string> | undefined;

  constructor(options: LeaseOptions) {
    this.#options = options;
  }

  /** The lease's number. Throws EtcdError. */
  async id(): Promise<string> {
    const id = this.#id ??= this.#grant();
    try {
      return await id;
    } catch (error) {
      if (this.#id === id) this.#id = undefined;
      throw error;
    }
  }

  /**
   * Does what needs the lease. When etcd has it no more it is done with a new one, and all that had the
   * one before is written again. Throws what the work does.
   */
  async use<Result>(work: (id: string) => Promise<Result>): Promise<Result> {
    const id = await this.id();
    try {
      return await work(id);
    } catch (error) {
      if (!(error instanceof EtcdError) || error.code !== "gone") throw error;
      if (await this.id() === id) {
        this.#id = undefined;
        await this.id();
        this.#options.onRenewed();
      }
      return await work(await this.id());
    }
  }

  /** Until the signal is aborted. What waits on dead connections ends by it, too. */
  async keep(): Promise<void> {
    const { client, ttl, signal, onRenewed, onError } = this.#options;
    const everyMs = Math.min(ttl / 3, 20) * 1000;
    while (await pause(everyMs, signal)) {
      try {
        const before = this.#id;
        const ID = await this.id();
        const answer = await client.ask("/v3/lease/keepalive", { ID }, signal);
        const { TTL = "0" } = (answer["result"] ?? {}) as { TTL?: string };
        if (Number(TTL) > 0 && before) continue;
        if (Number(TTL) <= 0) this.#id = undefined;
        await this.id();
        onRenewed();
      } catch (error) {
        if (!signal.aborted) onError(error);
      }
    }
  }

  /** What has the lease stays for its time. */
  async #grant(): Promise<string> {
    const { client, ttl, signal } = this.#options;
    const { ID } = await client.ask("/v3/lease/grant", { TTL: ttl }, signal);
    if (typeof ID === "string") return ID;
    throw new EtcdError("strange", "etcd gave no lease");
  }
}
