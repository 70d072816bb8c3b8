/** Rows of pilus_devices: what the programs know of the node's devices. */

import type { TypedMap } from "../../../datapath/bpf/mod.ts";
import type { Device } from "../../../datapath/maps/generated.ts";
import { NO_ADDRESS, parseIp } from "../../../datapath/net/ip.ts";
import { NO_MAC, parseMac } from "../../../datapath/net/mac.ts";
import type { Target } from "../../core/reconciler.ts";
import type { Table } from "../../core/table.ts";
import type { NodeDevice } from "../../sources/kernel/devices.ts";
import { type MapRow, mapTable } from "../map_target.ts";
import { slotOf, slotTarget } from "../slot_target.ts";

const NO_DEVICE: Device = { ipv4: NO_ADDRESS, ipv6: NO_ADDRESS, ifindex: 0, mac: NO_MAC };

/** A table of the map's rows by slot. */
export function deviceTable(): Table<MapRow<number, Device>> {
  return mapTable("devices", String);
}

/** The row of a device. */
export function deviceRow({ ifindex, mac, ipv4, ipv6 }: NodeDevice): MapRow<number, Device> {
  return {
    key: slotOf(ifindex),
    value: {
      ifindex,
      mac: parseMac(mac),
      ipv4: ipv4 ? parseIp(ipv4) : NO_ADDRESS,
      ipv6: ipv6 ? parseIp(ipv6) : NO_ADDRESS,
    },
  };
}

/** The map itself. */
export function deviceTarget(map: TypedMap<number, Device>): Target<MapRow<number, Device>> {
  return slotTarget(map, NO_DEVICE);
}
