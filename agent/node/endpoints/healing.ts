/** Endpoints healed when the kernel says that something of them has gone. */

import { formatIp } from "../../../datapath/net/ip.ts";
import { IFF_LOWER_UP, IFF_UP } from "../../../datapath/net/link.ts";
import type { Notice } from "../../../datapath/net/notices.ts";
import type { Endpoint } from "../../api/endpoint.ts";
import type { Table } from "../../core/table.ts";
import type { Timer } from "../../core/timer.ts";
import type { AddressPair } from "../ipam/address_pool.ts";

/** Milliseconds between two turns: a pod that deletes its device over and over costs no more than that. */
const PAUSE_MS = 500;

/**
 * Whether the notice may mean that a device or route of an endpoint has gone. The routes go with the router
 * address that is their source, silently, and can come back when it is back.
 */
export function concernsEndpoint(
  notice: Notice,
  endpoints: Table<Endpoint>,
  router: AddressPair,
): boolean {
  if (notice.kind === "overrun") return true;
  if (notice.kind === "address") {
    const ip = formatIp(notice.address.cidr.address);
    return !notice.gone && (ip === router.ipv4 || ip === router.ipv6);
  }
  const ifindex = notice.kind === "link" && notice.gone
    ? notice.link.ifindex
    : notice.kind === "route" && notice.gone
    ? notice.route.ifindex
    : undefined;
  return ifindex !== undefined &&
    endpoints.rows().some(({ state, hostIfindex }) =>
      state !== "creating" && hostIfindex === ifindex
    );
}

/** The endpoint whose devices are up on both sides now, and may have been down; undefined: none. */
export function endpointThatIsUp(
  notice: Notice,
  endpoints: Table<Endpoint>,
): Endpoint | undefined {
  if (notice.kind !== "link" || notice.gone) return undefined;
  const { ifindex, flags } = notice.link;
  if (!(flags & IFF_UP) || !(flags & IFF_LOWER_UP)) return undefined;
  return endpoints.rows().find(({ state, hostIfindex }) =>
    state === "ready" && hostIfindex === ifindex
  );
}

/** Runs its work soon after it was asked to, once however often that was, one turn after the other. */
export class Healing implements Disposable {
  readonly #work: () => Promise<void>;
  readonly #onError: (error: unknown) => void;
  #timer: Timer | undefined;
  #busy = false;
  #again = false;
  #lastAt = -Infinity;
  #disposed = false;

  constructor(work: () => Promise<void>, onError: (error: unknown) => void) {
    this.#work = work;
    this.#onError = onError;
  }

  soon(): void {
    if (this.#busy) this.#again = true;
    if (this.#busy || this.#disposed || this.#timer !== undefined) return;
    const wait = Math.max(0, this.#lastAt + PAUSE_MS - performance.now());
    this.#timer = setTimeout(() => void this.#run(), wait);
  }

  async #run(): Promise<void> {
    this.#timer = undefined;
    this.#busy = true;
    try {
      await this.#work();
    } catch (error) {
      this.#onError(error);
    } finally {
      this.#busy = false;
      this.#lastAt = performance.now();
    }
    if (!this.#again) return;
    this.#again = false;
    this.soon();
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    clearTimeout(this.#timer);
  }
}
