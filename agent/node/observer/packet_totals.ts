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
  return [...pilus_metrics.entries()].map(([index, perCpu]) => ({
    reason: index >> 1,
    direction: DIRECTION_NAMES[index & 1]!,
    packets: Number(perCpu.reduce((sum, { packets }) => sum + packets, 0n)),
    bytes: Number(perCpu.reduce((sum, { bytes }) => sum + bytes, 0n)),
  })).filter(({ packets }) => packets > 0);
}
