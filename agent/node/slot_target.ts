/** Maps that are arrays by device: slot = ifindex & (SLOTS - 1), checked against the row's ifindex. */

import type { TypedMap } from "../../datapath/bpf/mod.ts";
import type { Target } from "../core/reconciler.ts";
import { type MapRow, mapTarget } from "./map_target.ts";

/** Slots of pilus_endpoints (bpf/lib/endpoint.h) and pilus_devices (bpf/lib/device.h). */
export const SLOTS = 0x10000;

/** No device has it: in pilus_shares (bpf/lib/share.h) it is the node itself. */
export const SLOT_OF_NODE = 0;

/** The slot of a device. */
export function slotOf(ifindex: number): number {
  return ifindex % SLOTS;
}

/**
 * All slots of `map` belong to the table; only those in use are looked at closely.
 *
 * @param none what an unused slot holds: zeros
 */
export function slotTarget<V extends { ifindex: number }>(
  map: TypedMap<number, V>,
  none: V,
): Target<MapRow<number, V>> {
  return {
    ...mapTarget(map, { none: { value: none, is: ({ ifindex }) => ifindex === 0 } }),
    *read() {
      for (const [key, value] of map.used()) yield { key, value };
    },
  };
}
