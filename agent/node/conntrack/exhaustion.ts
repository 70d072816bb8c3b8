/** What a node, or an endpoint's share of it, has run out of: what there was no room for. */

import type { Timer } from "../../core/timer.ts";
import { DropReason } from "../../../datapath/maps/generated.ts";
import type { PilusMaps } from "../../../datapath/maps/mod.ts";
import type { ShareName } from "../../api/types.ts";
import type { ShortageView } from "../../api/views.ts";
import { type Endpoint, endpointName } from "../../api/endpoint.ts";
import { reasonText } from "../../flows/names.ts";
import { SHARE_NAMES, sharesOf } from "./shares.ts";

const FEWER_PER_DESTINATION = "spread the connections over more destinations";

/** Reasons that mean a shortage for all, and what helps. */
const REMEDIES: Record<number, string> = {
  [DropReason.CT_CREATE_FAILED]: "make it larger with --map-size pilus_ct",
  [DropReason.NO_NAT_MAPPING]:
    `widen --nat-port-range, ${FEWER_PER_DESTINATION}, or use DSR for services`,
};

/** What is said of a share that is spent, and what helps. */
const SHARES: Record<ShareName, { reason: string; remedy: string }> = {
  started: {
    reason: "it has as many connections as are free, and gets no more",
    remedy: "find out what it does (pilus ct list), or use --map-size pilus_ct",
  },
  accepted: {
    reason: "it has accepted as many connections as are free, and gets no more",
    remedy: "find out what reaches it (pilus ct list), or use --map-size pilus_ct",
  },
  mappings: {
    reason: "it has as many masqueraded ports as are free, and gets no more",
    remedy: `find out what it does (pilus nat list), ${FEWER_PER_DESTINATION}, ` +
      "or use --map-size pilus_nat",
  },
  choices: {
    reason: "its flows to services have as many choices as are free, and no more are remembered",
    remedy: "use --map-size pilus_choices",
  },
  affinity: {
    reason: "its clients have as many rows of affinity as are free, and no more are remembered",
    remedy: "use --map-size pilus_affinity",
  },
};

/** Milliseconds for which a shortage counts as present. */
const PRESENT_MS = 60_000;

/** Milliseconds between two looks at the counters. */
const INTERVAL_MS = 5_000;

/** A counter of packets that found no room. */
type Counter = Omit<ShortageView, "lastAt">;

/** `at`: when it grew, in milliseconds; 0: not since it was first seen. */
type Seen = Counter & { at: number };

/** What {@linkcode Shortages} looks at. */
export interface ShortagesOptions {
  maps: Pick<PilusMaps, "pilus_metrics" | "pilus_shares" | "pilus_shared">;
  /** Those of this node. */
  endpoints: () => readonly Endpoint[];
}

/** Watches counters for as long as it lives. */
export class Shortages implements Disposable {
  readonly #maps: ShortagesOptions["maps"];
  readonly #endpoints: ShortagesOptions["endpoints"];
  #seen = new Map<string, Seen>();
  readonly #timer: Timer;

  /** What was before does not count. */
  constructor({ maps, endpoints }: ShortagesOptions) {
    this.#maps = maps;
    this.#endpoints = endpoints;
    this.#look();
    this.#timer = setInterval(() => this.#look(), INTERVAL_MS);
  }

  /** Those of the last minute. */
  recent(): ShortageView[] {
    this.#look();
    const since = Date.now() - PRESENT_MS;
    return [...this.#seen.values()].filter(({ at }) => at > since).map(({ at, ...counter }) => ({
      ...counter,
      lastAt: new Date(at).toISOString(),
    }));
  }

  *#counters(): Generator<[key: string, counter: Counter]> {
    for (const [number, remedy] of Object.entries(REMEDIES)) {
      const reason = Number(number);
      yield [number, { reason: reasonText(reason), packets: this.#packets(reason), remedy }];
    }
    yield* this.#refused("the node and clients outside", "node");
    for (const endpoint of this.#endpoints()) {
      yield* this.#refused(endpointName(endpoint), endpoint.containerId, endpoint.hostIfindex);
    }
  }

  *#refused(endpoint: string, key: string, ifindex?: number): Generator<[string, Counter]> {
    const shares = sharesOf(this.#maps, ifindex);
    for (const name of SHARE_NAMES) {
      yield [`${key} ${name}`, { endpoint, packets: shares[name].refused, ...SHARES[name] }];
    }
  }

  /** Of both directions and all CPUs. */
  #packets(reason: number): number {
    return (this.#maps.pilus_metrics.get(reason) ?? []).flat()
      .reduce((sum, { packets }) => sum + Number(packets), 0);
  }

  #look(): void {
    const now = Date.now(), first = this.#seen.size === 0;
    const seen = new Map<string, Seen>();
    for (const [key, counter] of this.#counters()) {
      // an endpoint that is new since the last look began at zero
      const before = this.#seen.get(key) ?? { packets: first ? counter.packets : 0, at: 0 };
      seen.set(key, { ...counter, at: counter.packets > before.packets ? now : before.at });
    }
    this.#seen = seen;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
