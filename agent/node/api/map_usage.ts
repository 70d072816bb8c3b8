/** How full maps are. */

import { MapType } from "../../../datapath/bpf/mod.ts";
import type { AgentState } from "./agent_state.ts";

const ARRAYS: readonly number[] = [MapType.ARRAY, MapType.PERCPU_ARRAY];

/** Rows of a map in use; undefined for arrays whose rows are nobody's in particular. */
export function rowsInUse(
  { serviceMaps }: Pick<AgentState, "serviceMaps">,
  map: { name: string; raw: { type: number }; countInTurns(): Promise<number> },
): number | undefined | Promise<number> {
  if (map.name === "pilus_backends") return serviceMaps.usage().backends;
  if (map.name === "pilus_maglev") return serviceMaps.usage().maglev;
  return ARRAYS.includes(map.raw.type) ? undefined : map.countInTurns();
}
