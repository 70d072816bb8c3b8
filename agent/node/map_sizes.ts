/** Maps whose size depends on the node. */

import type { MapSizes } from "../../datapath/loader.ts";

/** The maps that `--map-size` takes. */
export const SIZED_MAPS = [
  "pilus_ct",
  "pilus_nat",
  "pilus_reverse",
  "pilus_rules",
  "pilus_policies",
  "pilus_ipcache",
  "pilus_cidrs",
  "pilus_denied",
  "pilus_services",
  "pilus_backends",
  "pilus_members",
  "pilus_maglev",
  "pilus_source_ranges",
  "pilus_choices",
  "pilus_affinity",
  "pilus_events",
] as const satisfies readonly (keyof MapSizes)[];
