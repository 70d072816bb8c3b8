/** What each endpoint, and the node itself, has of the tables that all share: see bpf/lib/share.h. */

import { SharedTable, ShareKind } from "../../../datapath/maps/generated.ts";
import type { PilusMaps } from "../../../datapath/maps/mod.ts";
import type { ShareName, ShareView } from "../../api/types.ts";
import { gauge } from "../metrics.ts";
import { SLOT_OF_NODE, slotOf } from "../slot_target.ts";

/** SHARE_OWNER_BITS of bpf/lib/share.h. */
const OWNER_BITS = 16;

const KINDS: Record<ShareName, number> = {
  started: ShareKind.STARTED,
  accepted: ShareKind.ACCEPTED,
  mappings: ShareKind.MAPPINGS,
  choices: ShareKind.CHOICES,
  affinity: ShareKind.AFFINITY,
};

/** The shares by name, in the order in which they are shown. */
export const SHARE_NAMES = Object.keys(KINDS) as ShareName[];

const TABLES = Object.entries(SharedTable).filter(([, number]) => number !== SharedTable.TABLES);

type ShareMaps = Pick<PilusMaps, "pilus_shares" | "pilus_shared">;

/** The shares of the endpoint with that device; without one those of the node itself. */
export function sharesOf(
  { pilus_shares }: ShareMaps,
  ifindex: number = SLOT_OF_NODE,
): Record<ShareName, ShareView> {
  const share = (kind: number) => {
    const { rows = 0, refused = 0 } = pilus_shares.get(kind << OWNER_BITS | slotOf(ifindex)) ?? {};
    return { rows: Math.max(0, rows), refused };
  };
  return Object.fromEntries(SHARE_NAMES.map((name) => [name, share(KINDS[name])])) as Record<
    ShareName,
    ShareView
  >;
}

/** Whether some owner has come to half of what it may have: its idle rows are to be collected. */
export function isPressed({ pilus_shared }: ShareMaps): boolean {
  return TABLES.some(([, number]) => pilus_shared.get(number)?.pressed);
}

/** What is taken of each table, and what there is to take. */
export function shareMetrics({ pilus_shared }: ShareMaps) {
  return TABLES.flatMap(([name, number]) => {
    const { rows = 0, capacity = 0 } = pilus_shared.get(number) ?? {};
    const labels = { table: name.toLowerCase() };
    return [
      gauge("shared_rows", "Rows that owners have of a table", Math.max(0, rows), labels),
      gauge("shared_capacity", "Rows of a table that owners may have together", capacity, labels),
    ];
  });
}

/** A row of pilus_shares as it is shown; undefined when it is nobody's. */
export function shareRow(index: number, share: { rows: number; refused: number }) {
  if (share.rows <= 0 && share.refused === 0) return undefined;
  const kind = Object.entries(ShareKind).find(([, number]) => number === index >> OWNER_BITS)?.[0];
  const owner = index & (1 << OWNER_BITS) - 1;
  return {
    key: { kind: kind?.toLowerCase() ?? "", owner },
    value: { rows: share.rows, refused: share.refused },
  };
}
