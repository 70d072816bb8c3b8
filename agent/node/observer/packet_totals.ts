/** What the programs have counted. */

import type { PilusMaps } from "../../../datapath/maps/mod.ts";
import { DIRECTION_NAMES } from "../../flows/names.ts";

/** Packets of one `enum drop_reason` (0: forwarded) and direction, over all CPUs. */
export interface PacketTotal {
  reason: number;
  direction: string;
  packets: number;
  bytes: number;
}

/** Everything that was counted at least once. */
export function packetTotals({ pilus_metrics }: Pick<PilusMaps, "pilus_metrics">): PacketTotal[] {
  return [...pilus_metrics.entries()].flatMap(([reason, perCpu]) =>
    DIRECTION_NAMES.map((name, at) => {
      const counts = perCpu.map((directions) => directions[at]!);
      return {
        reason,
        direction: name,
        packets: Number(counts.reduce((sum, { packets }) => sum + packets, 0n)),
        bytes: Number(counts.reduce((sum, { bytes }) => sum + bytes, 0n)),
      };
    })
  ).filter(({ packets }) => packets > 0);
}
