/** The rows of pilus_ipcache and pilus_cidrs: single addresses in the one, prefixes in the other. */

import { type CidrKey, type IpcacheEntry, IpcacheFlags } from "../../../datapath/maps/generated.ts";
import {
  equalIp,
  formatCidr,
  formatIp,
  NO_ADDRESS,
  parseCidr,
  parseIp,
} from "../../../datapath/net/ip.ts";
import { RESERVED_IDENTITIES } from "../../cluster/identities.ts";
import { type MapRow, mapTable } from "../map_target.ts";
import { Table } from "../../core/table.ts";
import type { ClusterNode } from "../../cluster/rows.ts";
import { podCidrsOf } from "../nodes/pod_networks.ts";
import { tunnelEnd } from "./ipcache.ts";
import type { IpcacheRow } from "./ipcache_row.ts";

/** A single address in the map. */
export interface AddressRow extends MapRow<Uint8Array, IpcacheEntry> {
  /** The address as text. */
  ip?: string;
}

/** One whose bytes are made when they are asked for: there are very many of them. */
class KnownAddress implements AddressRow {
  readonly ip: string;
  readonly value: IpcacheEntry;

  constructor(ip: string, value: IpcacheEntry) {
    this.ip = ip;
    this.value = value;
  }

  get key(): Uint8Array {
    return parseIp(this.ip);
  }
}

/** A table of single addresses. */
export function ipcacheMapTable(): Table<AddressRow> {
  return new Table({
    name: "ipcache",
    key: ({ ip, key }) => ip ?? formatIp(key),
    equal: (a, b) => sameEntry(a.value, b.value),
  });
}

function sameEntry(a: IpcacheEntry, b: IpcacheEntry): boolean {
  return a === b ||
    a.identity === b.identity && a.ifindex === b.ifindex && a.flags === b.flags &&
      equalIp(a.node, b.node);
}

/** A table of prefixes. */
export function cidrMapTable(): Table<MapRow<CidrKey, IpcacheEntry>> {
  return mapTable("cidrs", cidrKeyText);
}

function cidrKeyText({ address, prefixLength }: CidrKey): string {
  return formatCidr({ address: address as Uint8Array<ArrayBuffer>, prefixLength });
}

/** Of a single address; `service`: it has some frontend. `ifindexOf`: the device of an endpoint of this node. */
export function addressRow(
  ip: string,
  row: IpcacheRow | undefined,
  service: boolean,
  ifindexOf: (endpoint: number) => number | undefined,
): AddressRow {
  const world = RESERVED_IDENTITIES[ip.includes(":") ? "world-ipv6" : "world-ipv4"];
  const value = row ? entryOf(row, ifindexOf) : {
    identity: world,
    ifindex: 0,
    node: NO_ADDRESS,
    flags: 0,
  };
  if (service) value.flags |= IpcacheFlags.SERVICE;
  return new KnownAddress(ip, shared(value));
}

/** Values by content: most addresses are those of few identities on few nodes. */
const values = new Map<string, WeakRef<IpcacheEntry>>();
const forgotten = new FinalizationRegistry<string>((content) => {
  if (!values.get(content)?.deref()) values.delete(content);
});

/** The one object of that content. */
function shared(value: IpcacheEntry): IpcacheEntry {
  const content = `${value.identity} ${value.ifindex} ${formatIp(value.node)} ${value.flags}`;
  const known = values.get(content)?.deref();
  if (known) return known;
  values.set(content, new WeakRef(value));
  forgotten.register(value, content);
  return value;
}

function entryOf(row: IpcacheRow, ifindexOf: (endpoint: number) => number | undefined) {
  const ifindex = row.endpointId === undefined ? undefined : ifindexOf(row.endpointId);
  let flags = 0;
  if (ifindex !== undefined) flags |= IpcacheFlags.LOCAL;
  if (row.kind === "node") flags |= IpcacheFlags.NODE;
  if (row.tunnel) flags |= IpcacheFlags.TUNNEL;
  if (row.kind === "vacant") flags |= IpcacheFlags.VACANT;
  return {
    identity: row.identity,
    ifindex: ifindex ?? 0,
    node: row.tunnel ?? row.node ?? NO_ADDRESS,
    flags,
  };
}

/** Of a prefix. */
export function prefixRow(row: IpcacheRow): MapRow<CidrKey, IpcacheEntry> {
  return { key: parseCidr(row.prefix), value: entryOf(row, () => undefined) };
}

/** A table of the prefixes that other nodes may send from. */
export function nodeCidrTable(): Table<MapRow<CidrKey, Uint8Array>> {
  return mapTable("node-cidrs", cidrKeyText);
}

/** Of a node's pod CIDRs, with the address that its frames come from; none of this node's own. */
export function nodeCidrs(node: ClusterNode): MapRow<CidrKey, Uint8Array>[] {
  const value = tunnelEnd(node);
  if (!value) return [];
  return podCidrsOf(node).map((key) => ({ key, value }));
}
