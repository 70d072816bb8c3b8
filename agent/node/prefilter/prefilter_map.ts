/** The prefilter's rows in the kernel. */

import type { TypedMap } from "../../../datapath/bpf/mod.ts";
import type { PrefilterKey } from "../../../datapath/maps/generated.ts";
import type { DeniedPrefix } from "./prefilter_file.ts";
import { setAll } from "../map_target.ts";
import type { Target } from "../../core/reconciler.ts";

/**
 * New prefixes are written before old ones are removed: who is denied before and after a change is
 * denied all the time. Only where there is no room for that it is the other way.
 */
export function prefilterTarget(map: TypedMap<PrefilterKey, number>): Target<DeniedPrefix> {
  const write = (rows: readonly DeniedPrefix[]) =>
    setAll(map, rows, ({ cidr }) => [cidr, 1] as const);
  return {
    *read() {
      for (const { prefixLength, address } of map.keys()) {
        yield { cidr: { prefixLength, address: address.slice() }, line: 0 };
      }
    },
    apply(upserts, deletes) {
      const failed = write(upserts);
      map.deleteMany(deletes.map(({ cidr }) => cidr));
      if (failed.length === 0 || deletes.length === 0) return { failed };
      return { failed: write(failed.map(({ row }) => row)) };
    },
  };
}

/** All of a change is applied at once. */
export const PREFILTER_BATCH = 1 << 20;
