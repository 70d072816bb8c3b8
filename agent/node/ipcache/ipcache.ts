/** What each address and prefix is: whose identity it has and how it is reached. */

import {
  type Cidr,
  cidrContainsCidr,
  equalIp,
  formatCidr,
  formatIp,
  parseCidr,
  tryParseIp,
} from "../../../datapath/net/ip.ts";
import { RESERVED_IDENTITIES } from "../../cluster/identities.ts";
import type { CidrIdentity } from "../identity/cidr.ts";
import type { CiliumEndpoint } from "../../kubernetes/resources.ts";
import { type Derivation, derive } from "../../core/derive.ts";
import { type Problem, problemTable } from "../../core/problem.ts";
import { Table } from "../../core/table.ts";
import type { ClusterNode } from "../nodes/nodes.ts";

/** endpoint: of this node; remote: a pod of another; node: a node's own; service; cidr: a policy's prefix. */
export type IpcacheKind = "endpoint" | "remote" | "node" | "cidr";

/** Bits of an address in the project's form. */
const ADDRESS_BITS = 128;

/** What a prefix is. */
export interface IpcacheRow {
  /** An address, or a prefix of more than one, as text: the key in the table. */
  prefix: string;
  identity: number;
  kind: IpcacheKind;
  /** The node at which the tunnel to it ends, 16 bytes; null: none is needed. */
  tunnel: Uint8Array<ArrayBuffer> | null;
  /** The endpoint's number, of `endpoint`. */
  endpointId?: number;
}

/** An endpoint of this node, as the ipcache sees it. */
export interface LocalAddress {
  id: number;
  /** `namespace/name` of its pod. */
  pod: string;
  identity: number;
  /** 16 bytes. */
  addresses: Uint8Array<ArrayBuffer>[];
}

/** A table of this node's endpoints. */
export function localAddressTable(): Table<LocalAddress> {
  return new Table<LocalAddress>({ name: "local-addresses", key: ({ id }) => String(id) });
}

/** What {@linkcode deriveIpcache} reads. */
export interface IpcacheInputs {
  nodes: Table<ClusterNode>;
  endpoints: Table<CiliumEndpoint>;
  local: Table<LocalAddress>;
  cidrs: Table<CidrIdentity>;
}

/** Tables that follow those inputs. Dispose of it to stop that. */
export interface IpcacheTables extends Disposable {
  ipcache: Table<IpcacheRow>;
  problems: Table<Problem>;
  derivations: readonly Derivation[];
}

/** A prefix as the table's key: that of a single address has no length. */
export function ipcacheKey(prefix: Cidr): string {
  return prefix.prefixLength === ADDRESS_BITS ? formatIp(prefix.address) : formatCidr(prefix);
}

/** Whether a row is of a single address. */
export function isAddress({ prefix }: IpcacheRow): boolean {
  return !prefix.includes("/");
}

interface Result {
  rows: IpcacheRow[];
  problems: Problem[];
}

function compute({ nodes, endpoints, local, cidrs }: IpcacheInputs): Result {
  const rows = new Map<string, IpcacheRow>();
  const owners = new Map<string, string>();
  const problems: Problem[] = [];
  const add = (owner: string, row: IpcacheRow) => {
    const key = row.prefix;
    const first = owners.get(key);
    if (first === undefined) {
      rows.set(key, row);
      owners.set(key, owner);
    } else if (first !== owner) {
      problems.push({
        source: owner,
        message: `address ${key} is of ${first} already, which keeps it; change one`,
      });
    }
  };

  for (const node of nodes.rows()) {
    const identity = node.local ? RESERVED_IDENTITIES.host : RESERVED_IDENTITIES["remote-node"];
    for (const address of node.addresses) {
      add(`Node ${node.name}`, { prefix: formatIp(address), identity, kind: "node", tunnel: null });
    }
    for (const router of [node.routerIpv4, node.routerIpv6]) {
      if (!router) continue;
      const tunnel = node.local ? null : node.ipv4 ?? node.ipv6 ?? null;
      add(`Node ${node.name}`, { prefix: formatIp(router), identity, kind: "node", tunnel });
    }
  }

  for (const { id, pod, identity, addresses } of local.rows()) {
    for (const address of addresses) {
      const prefix = formatIp(address);
      add(`Pod ${pod}`, { prefix, identity, kind: "endpoint", tunnel: null, endpointId: id });
    }
  }

  const own = nodes.rows().find((node) => node.local);
  const ownAddresses = own?.addresses ?? [];
  const tunnels = new Map<string, Uint8Array<ArrayBuffer> | undefined>();
  for (const pod of endpoints.keys().sort()) {
    const { identity, networking } = endpoints.get(pod)!.status;
    if (!tunnels.has(networking.node)) tunnels.set(networking.node, tryParseIp(networking.node));
    const node = tunnels.get(networking.node);
    // What this node has published: its endpoints are the truth about its own pods.
    if (!node || ownAddresses.some((address) => equalIp(address, node))) continue;
    for (const { ipv4, ipv6 } of networking.addressing) {
      for (const text of [ipv4, ipv6]) {
        const address = text === undefined ? undefined : tryParseIp(text);
        if (!address) continue;
        const prefix = formatIp(address);
        add(`Pod ${pod}`, {
          prefix: prefix === text ? text! : prefix, // one text, not two equal ones
          identity: identity.id,
          kind: "remote",
          tunnel: node,
        });
      }
    }
  }

  for (const { id, cidr } of cidrs.rows()) {
    const key = ipcacheKey(cidr);
    // A prefix of one address that is a pod's or a node's: those are known better.
    if (rows.has(key)) continue;
    rows.set(key, { prefix: key, identity: id, kind: "cidr", tunnel: null });
  }
  // In the 16-byte form ::/0 holds the IPv4 addresses too: this row is in the way.
  const ipv4 = parseCidr("0.0.0.0/0");
  const key = formatCidr(ipv4);
  if (!rows.has(key) && cidrs.rows().some(({ cidr }) => cidrContainsCidr(cidr, ipv4))) {
    const identity = RESERVED_IDENTITIES["world-ipv4"];
    rows.set(key, { prefix: key, identity, kind: "cidr", tunnel: null });
  }
  return { rows: [...rows.values()], problems };
}

/** Wires the derivation of the ipcache. Of two that claim one address the first keeps it. */
export function deriveIpcache(inputs: IpcacheInputs): IpcacheTables {
  const ipcache = new Table<IpcacheRow>({ name: "ipcache", key: ({ prefix }) => prefix });
  const problems = problemTable("address-problems");
  const tables = [
    inputs.nodes,
    inputs.endpoints,
    inputs.local,
    inputs.cidrs,
  ];
  let found: Problem[] = [];
  const derivations = [
    derive(tables, () => {
      const result = compute(inputs);
      found = result.problems;
      return result.rows;
    }, ipcache),
    derive([ipcache, ...tables], () => found, problems),
  ];
  return {
    ipcache,
    problems,
    derivations,
    [Symbol.dispose]() {
      for (const derivation of derivations) derivation[Symbol.dispose]();
    },
  };
}
