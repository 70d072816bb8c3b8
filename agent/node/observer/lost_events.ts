/** Events that found no room in the programs' buffer. */

import type { TypedMap } from "../../../datapath/bpf/mod.ts";
import { AgentEvent } from "../../flows/flow.ts";
import { TYPE_NAMES } from "../../flows/names.ts";
import type { ReportEvent } from "./agent_events.ts";

export class LostEvents {
  readonly #map: TypedMap<number, bigint[]>;
  readonly #report: ReportEvent;
  /** Those that are reported, by type. */
  readonly #reported = new Map<number, number>();

  /** `map`: pilus_lost, by type and CPU. What was lost before is not reported. */
  constructor(map: TypedMap<number, bigint[]>, report: ReportEvent) {
    this.#map = map;
    this.#report = report;
    for (const { type, count } of this.rows()) this.#reported.set(type, count);
  }

  /** Since the map exists, by type. */
  rows(): { type: number; count: number }[] {
    return [...this.#map.entries()]
      .map(([type, perCpu]) => ({ type, count: Number(perCpu.reduce((sum, n) => sum + n, 0n)) }))
      .filter(({ count }) => count > 0);
  }

  get total(): number {
    return this.rows().reduce((sum, { count }) => sum + count, 0);
  }

  /** Reports those that were lost since the last call. */
  look(): void {
    for (const { type, count } of this.rows()) {
      const more = count - (this.#reported.get(type) ?? 0);
      if (more <= 0) continue;
      this.#reported.set(type, count);
      this.#report(
        AgentEvent.EVENTS_LOST,
        `${more} of type ${TYPE_NAMES.get(type) ?? type} found no room in pilus_events: ` +
          "make it larger with --map-size pilus_events",
        { count: more },
      );
    }
  }
}
