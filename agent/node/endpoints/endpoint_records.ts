/** What is remembered of endpoints on disk, and how it is forgotten. */

import type { AddressPool } from "../ipam/address_pool.ts";
import type { EndpointStore } from "./endpoint_store.ts";

/** Rows and addresses of endpoints. Without room on the disk they stay until there is some. */
export class EndpointRecords {
  readonly #store: EndpointStore;
  readonly #pool: AddressPool;
  readonly #onError: (what: string, error: unknown) => void;
  /** Endpoints that are gone and whose rows could not be removed. */
  readonly #left = new Set<string>();

  constructor(
    store: EndpointStore,
    pool: AddressPool,
    onError: (what: string, error: unknown) => void,
  ) {
    this.#store = store;
    this.#pool = pool;
    this.#onError = onError;
  }

  /** Removes the endpoint's row and gives back its addresses. Returns whether there were some. */
  forget(key: string): boolean {
    try {
      this.#store.remove(key);
      const had = this.#pool.release(key);
      this.#left.delete(key);
      return had;
    } catch (error) {
      if (!this.#left.has(key)) this.#onError(`endpoint ${key} is deleted, not forgotten`, error);
      this.#left.add(key);
      return true;
    }
  }

  /** The endpoint is made anew: its rows stay. */
  keep(key: string): void {
    this.#left.delete(key);
  }

  /** Forgets what could not be forgotten before, but for what is being made or deleted. */
  retry(isBusy: (key: string) => boolean): void {
    for (const key of this.#left) if (!isBusy(key)) this.forget(key);
  }

  /** Gives an endpoint that is alive the addresses that it has. */
  reserve(key: string, addresses: readonly (string | undefined)[]): void {
    for (const address of addresses) {
      if (!address || Object.values(this.#pool.get(key)).includes(address)) continue;
      try {
        this.#pool.reserve(key, address);
      } catch (error) { // the pod has it all the same
        this.#onError(`address ${address} of endpoint ${key} is not reserved`, error);
      }
    }
  }
}
