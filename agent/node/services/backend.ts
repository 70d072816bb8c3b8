/** Backends of a service port: the form in which they are chosen from and kept. */

import { formatIp, parseIp } from "../../../datapath/net/ip.ts";

/**
 * How fit a backend is for new connections. `active` ones get them. When there is none, those that
 * terminate and still serve do, then those in quarantine. The others only keep their connections.
 */
export const BACKEND_STATES = [
  ...["active", "terminating", "quarantined", "maintenance", "unready"],
] as const;

export type BackendState = "active" | "terminating" | "quarantined" | "maintenance" | "unready";

/** One of a service port's endpoints, as far as balancing is concerned. */
export interface Backend {
  /** 16 bytes. */
  address: Uint8Array<ArrayBuffer>;
  port: number;
  state: BackendState;
  /** Share of new connections, where a table chooses; 0: none. */
  weight: number;
  /** A pod of this node, or one of its own addresses. */
  local: boolean;
  node?: string;
  zone?: string;
  /** Zones and nodes whose clients it is meant for. */
  forZones?: string[];
  forNodes?: string[];
  /** `namespace/name`. */
  pod?: string;
}

/**
 * Backends as they are kept, in an immutable text: an object for each backend of every service would be
 * most of the agent's memory. Equal texts mean equal backends in equal order.
 */
export interface BackendList {
  text: string;
  length: number;
  /** How many are of this node. */
  local: number;
}

type PackedBackend = [
  address: string,
  port: number,
  state: BackendState,
  weight: number,
  local: 0 | 1,
  node?: string | null,
  zone?: string | null,
  pod?: string | null,
  forZones?: string[] | null,
  forNodes?: string[] | null,
];

export function packBackends(backends: readonly Backend[]): BackendList {
  const rows = backends.map((b): PackedBackend => {
    const row: PackedBackend = [formatIp(b.address), b.port, b.state, b.weight, b.local ? 1 : 0];
    const more = [b.node, b.zone, b.pod, b.forZones, b.forNodes];
    while (more.length > 0 && more.at(-1) === undefined) more.pop();
    return [...row, ...more] as PackedBackend;
  });
  const local = backends.filter(({ local }) => local).length;
  return { text: JSON.stringify(rows), length: rows.length, local };
}

/** Objects anew with each call. */
export function unpackBackends({ text }: BackendList): Backend[] {
  return (JSON.parse(text) as PackedBackend[]).map((row) => {
    const [address, port, state, weight, local, node, zone, pod, forZones, forNodes] = row;
    // assigned, not spread: there are very many
    const backend: Backend = { address: parseIp(address), port, state, weight, local: local === 1 };
    if (node) backend.node = node;
    if (zone) backend.zone = zone;
    if (forZones) backend.forZones = forZones;
    if (forNodes) backend.forNodes = forNodes;
    if (pod) backend.pod = pod;
    return backend;
  });
}

/** Whether the list has a backend of that address and port. Reads the text only. */
export function hasBackend(
  { text }: BackendList,
  { address, port }: Pick<Backend, "address" | "port">,
): boolean {
  return text.includes(`["${formatIp(address)}",${port},`);
}
