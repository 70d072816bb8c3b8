/** What a node has of pods, to compare before and after. */

import type { LabNode } from "../../cli/lab/lab.ts";
import type { MapView } from "../../agent/api/views.ts";
import { listLinks } from "../../datapath/net/link.ts";
import { listNeighbours } from "../../datapath/net/neighbour.ts";
import { formatRoute, listRoutes } from "../../datapath/net/route.ts";

export interface DatapathLeft {
  links: string[];
  routes: string[];
  /** Permanent ones. */
  neighbours: number;
  pins: string[];
  /** Rows of the maps that say what is there; conntrack and NAT remember what was. */
  rows: Record<string, number>;
}

const HISTORY = new Set([
  "pilus_ct",
  "pilus_nat",
  "pilus_socket_revnat",
  "pilus_datagrams",
  "pilus_affinity",
  "pilus_choices",
]);

export async function datapathOf(node: LabNode): Promise<DatapathLeft> {
  const maps = await node.client.call<MapView[]>("/v1/maps");
  const rows = maps.filter(({ name, entries }) => entries !== undefined && !HISTORY.has(name))
    .map(({ name, entries }) => [name, entries!] as const);
  const links = `${node.directory}/bpf/pilus/links`;
  return {
    ...node.netlink((netlink) => ({
      links: listLinks(netlink).map(({ name }) => name).sort(),
      routes: listRoutes(netlink).map(formatRoute).sort(),
      neighbours: listNeighbours(netlink).filter(({ permanent }) => permanent).length,
    })),
    pins: [...Deno.readDirSync(links)].map(({ name }) => name).sort(),
    rows: Object.fromEntries(rows),
  };
}
