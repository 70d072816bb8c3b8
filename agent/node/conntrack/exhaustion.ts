/** What a node has run out of: packets that a program could not serve for want of room. */

import type { Timer } from "../../core/timer.ts";
import { DropReason } from "../../../datapath/maps/generated.ts";
import type { PilusMaps } from "../../../datapath/maps/mod.ts";
import { reasonText } from "../../flows/names.ts";

/** Reasons that mean a shortage, and what helps. */
const REMEDIES: Record<number, string> = {
  [DropReason.CT_CREATE_FAILED]: "make it larger with --map-size pilus_ct",
  [DropReason.NO_NAT_MAPPING]:
    "widen --nat-port-range, spread the connections over more destinations, or use DSR for services",
};

const REASONS = Object.keys(REMEDIES).map(Number);

/** Milliseconds for which a shortage counts as present. */
const PRESENT_MS = 60_000;

/** Milliseconds between two looks at the counters. */
const INTERVAL_MS = 5_000;

/** A shortage of the last minute. */
export interface Shortage {
  reason: string;
  /** Packets dropped for it since the maps exist. */
  packets: number;
  /** RFC 3339; when its counter was last seen to grow. */
  lastAt: string;
  remedy: string;
}

/** Watches counters for as long as it lives. */
export class Shortages implements Disposable {
  readonly #metrics: PilusMaps["pilus_metrics"];
  readonly #seen = new Map<number, { packets: number; at: number }>();
  readonly #timer: Timer;

  /** What was before does not count. */
  constructor(metrics: PilusMaps["pilus_metrics"]) {
    this.#metrics = metrics;
    for (const reason of REASONS) {
      this.#seen.set(reason, { packets: this.#packets(reason), at: 0 });
    }
    this.#timer = setInterval(() => this.#look(), INTERVAL_MS);
  }

  /** Those of the last minute. */
  recent(): Shortage[] {
    this.#look();
    const since = Date.now() - PRESENT_MS;
    return [...this.#seen].filter(([, { at }]) => at > since).map(([reason, { packets, at }]) => ({
      reason: reasonText(reason),
      packets,
      lastAt: new Date(at).toISOString(),
      remedy: REMEDIES[reason]!,
    }));
  }

  /** Of both directions and all CPUs. */
  #packets(reason: number): number {
    return [0, 1].flatMap((direction) => this.#metrics.get(reason << 1 | direction) ?? [])
      .reduce((sum, { packets }) => sum + Number(packets), 0);
  }

  #look(): void {
    for (const reason of REASONS) {
      const packets = this.#packets(reason);
      if (packets !== this.#seen.get(reason)?.packets) {
        this.#seen.set(reason, { packets, at: Date.now() });
      }
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
