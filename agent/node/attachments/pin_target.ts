/** Pins of maps, by which a later agent finds them, as the kernel's side of a reconciler. */

import type { Bpffs, HeldMaps } from "../../../datapath/bpffs.ts";
import { attemptEach } from "../../core/attempt_each.ts";
import type { Target } from "../../core/reconciler.ts";
import { Table } from "../../core/table.ts";

export interface MapPin {
  map: string;
}

/** A table with a row for each held map. */
export function mapPinTable(maps: HeldMaps): Table<MapPin> {
  const table = new Table<MapPin>({ name: "map-pins", key: ({ map }) => map });
  table.replace(maps.names().map((map) => ({ map })));
  return table;
}

export function mapPinTarget(maps: HeldMaps, bpffs: Bpffs): Target<MapPin> {
  return {
    read: () => maps.names().filter((map) => maps.isPinned(map)).map((map) => ({ map })),
    apply: (upserts) => ({
      failed: attemptEach(upserts, ({ map }) => {
        bpffs.restore();
        maps.pin(map);
      }),
    }),
  };
}
