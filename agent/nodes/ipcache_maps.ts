/** The rows of pilus_ipcache and pilus_cidrs: single addresses in the one, prefixes in the other. */

import { type CidrKey, type IpcacheEntry, IpcacheFlags } from "../../datapath/maps/generated.ts";
import { formatCidr, formatIp } from "../../datapath/net/ip.ts";
import { type MapRow, mapTable } from "../state/map_target.ts";
import type { Table } from "../state/table.ts";
import type { IpcacheRow } from "./ipcache.ts";

const NO_ADDRESS = new Uint8Array(16);

/** Bits of an address in the project's form. */
const ADDRESS_BITS = 128;

/** A table of single addresses. */
export function ipcacheMapTable(): Table<MapRow<Uint8Array, IpcacheEntry>> {
  return mapTable("ipcache", formatIp);
}

/** A table of prefixes. */
export function cidrMapTable(): Table<MapRow<CidrKey, IpcacheEntry>> {
  return mapTable(
    "cidrs",
    ({ address, prefixLength }) =>
      formatCidr({ address: address as Uint8Array<ArrayBuffer>, prefixLength }),
  );
}

function entryOf(row: IpcacheRow, ifindexOf: (endpoint: number) => number | undefined) {
  const ifindex = row.endpointId === undefined ? undefined : ifindexOf(row.endpointId);
  let flags = 0;
  if (ifindex !== undefined) flags |= IpcacheFlags.LOCAL;
  if (row.kind === "node") flags |= IpcacheFlags.NODE;
  if (row.kind === "service") flags |= IpcacheFlags.SERVICE;
  if (row.tunnel) flags |= IpcacheFlags.TUNNEL;
  return {
    identity: row.identity,
    ifindex: ifindex ?? 0,
    node: row.tunnel ?? NO_ADDRESS,
    flags,
  };
}

/** The rows that are single addresses. `ifindexOf`: the device of an endpoint of this node. */
export function addressRows(
  rows: Iterable<IpcacheRow>,
  ifindexOf: (endpoint: number) => number | undefined,
): MapRow<Uint8Array, IpcacheEntry>[] {
  return [...rows].filter(({ prefix }) => prefix.prefixLength === ADDRESS_BITS)
    .map((row) => ({ key: row.prefix.address, value: entryOf(row, ifindexOf) }));
}

/** The rows that are prefixes. */
export function prefixRows(rows: Iterable<IpcacheRow>): MapRow<CidrKey, IpcacheEntry>[] {
  return [...rows].filter(({ prefix }) => prefix.prefixLength < ADDRESS_BITS)
    .map((row) => ({
      key: { prefixLength: row.prefix.prefixLength, address: row.prefix.address },
      value: entryOf(row, () => undefined),
    }));
}
