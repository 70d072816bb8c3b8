/** The load balancer as the kernel has it, in words: for `pilus lb list` and `pilus service trace`. */

import {
  BackendFlags,
  type Service,
  ServiceFlags,
  type ServiceKey,
  type ServiceSide,
} from "../../../../datapath/maps/generated.ts";
import type { PilusMaps } from "../../../../datapath/maps/mod.ts";
import { formatIp, formatSocketAddress } from "../../../../datapath/net/ip.ts";
import type {
  BackendUseView,
  KernelBackendView,
  KernelFrontendView,
  KernelTableView,
} from "../../../api/views.ts";
import { protocolName } from "../../../core/protocols.ts";
import { EXTERNAL, INTERNAL } from "../kernel/service_row.ts";
import { ASK, INDEX_BITS, INDEX_MASK, maglevRows, ROW_SLOTS, YOUNG } from "../kernel/maglev.ts";

/** The maps of the load balancer. */
export type BalancerMaps = Pick<
  PilusMaps,
  | "pilus_services"
  | "pilus_backends"
  | "pilus_maglev"
  | "pilus_source_ranges"
  | "pilus_affinity"
  | "pilus_choices"
  | "pilus_backend_index"
  | "pilus_node"
  | "pilus_prefilter"
  | "pilus_ipcache"
>;

/** The names of the bits that are set, in lower case with dashes. */
export function flagNames(constants: Record<string, number>, flags: number): string[] {
  return Object.entries(constants).filter(([, bit]) => flags & bit)
    .map(([name]) => name.toLowerCase().replaceAll("_", "-"));
}

export function frontendText({ address, port, protocol }: ServiceKey): string {
  return `${formatSocketAddress(formatIp(address), port)}/${protocolName(protocol)}`;
}

/** The slots of a table from its first row on. */
export function readTable(
  { pilus_maglev: { raw } }: Pick<BalancerMaps, "pilus_maglev">,
  table: number,
  size: number,
): Uint32Array {
  const rows = maglevRows(size);
  const slots = new Uint32Array(rows * ROW_SLOTS);
  const key = new Uint32Array(1);
  for (let row = 0; row < rows; row++) {
    key[0] = table + row;
    const bytes = new Uint8Array(slots.buffer, row * ROW_SLOTS * 4, ROW_SLOTS * 4);
    raw.get(new Uint8Array(key.buffer), bytes);
  }
  return slots.subarray(0, size);
}

export function backendOf(
  { pilus_backends }: Pick<BalancerMaps, "pilus_backends">,
  { set }: ServiceSide,
  index: number,
): KernelBackendView | undefined {
  const row = pilus_backends.get(set + index);
  if (!row || row.port === 0) return undefined;
  return {
    index,
    address: formatIp(row.address),
    port: row.port,
    flags: flagNames(BackendFlags, row.flags),
    hits: Number(row.hits),
  };
}

/** Those that new connections are sent to. */
export function backendsOf(
  maps: Pick<BalancerMaps, "pilus_backends">,
  side: ServiceSide,
): KernelBackendView[] {
  return Array.from({ length: side.count }, (_, index) => backendOf(maps, side, index))
    .filter((backend) => backend !== undefined);
}

export function kernelBackends(maps: BalancerMaps): BackendUseView[] {
  const uses = new Map<string, BackendUseView>();
  const seen = new Set<number>(); // rows: equal lists share them
  for (const [key, { side }] of maps.pilus_services.entries()) {
    const frontend = frontendText(key);
    for (const one of side) {
      for (const { index, address, port, flags, hits } of backendsOf(maps, one)) {
        const end = formatSocketAddress(address, port);
        let use = uses.get(end);
        if (!use) uses.set(end, use = { address, port, flags, hits: 0, services: [] });
        if (!use.services.includes(frontend)) use.services.push(frontend);
        if (!seen.has(one.set + index)) use.hits += hits;
        seen.add(one.set + index);
      }
    }
  }
  return [...uses].sort(([a], [b]) => a < b ? -1 : 1).map(([, use]) => use);
}

export function kernelFrontends(maps: BalancerMaps): KernelFrontendView[] {
  const known = new Map<string, KernelBackendView[]>();
  const backends = (side: ServiceSide) => {
    const key = `${side.set}:${side.count}`;
    let list = known.get(key);
    if (!list) known.set(key, list = backendsOf(maps, side));
    return list;
  };
  return [...maps.pilus_services.entries()].map(([key, row]) => ({
    frontend: frontendText(key),
    id: row.id,
    flags: flagNames(ServiceFlags, row.flags),
    affinityS: row.affinityS,
    internal: backends(row.side[INTERNAL]!),
    external: backends(row.side[EXTERNAL]!),
    tables: { internal: row.side[INTERNAL]!.table, external: row.side[EXTERNAL]!.table },
  })).sort((a, b) => a.id - b.id || (a.frontend < b.frontend ? -1 : 1));
}

export function kernelTables(maps: BalancerMaps, size: number): KernelTableView[] {
  const users = new Map<number, { ids: Set<number>; side: ServiceSide }>();
  for (const [, { id, side }] of maps.pilus_services.entries() as Iterable<[ServiceKey, Service]>) {
    for (const one of side) {
      if (one.table === 0) continue;
      const user = users.get(one.table);
      if (user) user.ids.add(id);
      else users.set(one.table, { ids: new Set([id]), side: one });
    }
  }
  return [...users].sort(([a], [b]) => a - b).map(([table, { ids, side }]) => {
    const slots = readTable(maps, table, size);
    const counts = new Uint32Array(INDEX_MASK + 1);
    let moved = 0, young = 0, ask = 0;
    for (const slot of slots) { // no objects: there may be millions
      const now = slot & INDEX_MASK;
      counts[now]!++;
      if (now !== ((slot >>> INDEX_BITS) & INDEX_MASK)) moved++;
      if (slot & YOUNG) young++;
      if (slot >= ASK) ask++;
    }
    const used = [...counts.entries()].filter(([, count]) => count > 0);
    const shares = used.map(([index, count]) => {
      const backend = backendOf(maps, side, index);
      return {
        backend: backend ? formatSocketAddress(backend.address, backend.port) : `index ${index}`,
        slots: count,
        share: count / size,
      };
    });
    return { table, services: [...ids], slots: size, shares, moved, young, ask };
  });
}
