/** Maps whose size depends on the node, and what they have room for without `--map-size`. */

import type { MapSizes } from "../../datapath/loader.ts";
import { maps } from "../../datapath/maps/generated.ts";

/** The maps that `--map-size` takes. */
export const SIZED_MAPS = [
  "pilus_ct",
  "pilus_nat",
  "pilus_socket_revnat",
  "pilus_rules",
  "pilus_policies",
  "pilus_ipcache",
  "pilus_cidrs",
  "pilus_prefilter",
  "pilus_services",
  "pilus_backends",
  "pilus_backend_index",
  "pilus_maglev",
  "pilus_source_ranges",
  "pilus_choices",
  "pilus_affinity",
  "pilus_events",
] as const satisfies readonly (keyof MapSizes)[];

/** A map of `--map-size`. */
export type SizedMap = typeof SIZED_MAPS[number];

/** Rows by default, as the programs have them; undefined of the event buffer, which has bytes. */
export function defaultRows(name: SizedMap): number | undefined {
  return name === "pilus_events" ? undefined : maps[name].maxEntries;
}
