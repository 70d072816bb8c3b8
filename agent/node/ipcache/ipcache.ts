/** What each address and prefix is: whose identity it has and how it is reached. */

import {
  type Cidr,
  cidrContainsCidr,
  formatCidr,
  formatIp,
  parseCidr,
  parseIp,
} from "../../../datapath/net/ip.ts";
import { RESERVED_IDENTITIES } from "../../cluster/identities.ts";
import type { ClusterNode, RemoteAddress } from "../../cluster/rows.ts";
import { deriveGroups, groupInput, type GroupResult, rowsOf } from "../../core/derive_groups.ts";
import { formatObject, type Problem, problemTable } from "../../core/problem.ts";
import { type Change, Table } from "../../core/table.ts";
import type { CidrIdentity } from "../identity/cidr.ts";
import type { ApiServer } from "../policy/api_servers.ts";
import { ipcacheKey, type IpcacheRow } from "./ipcache_row.ts";
import { type Claim, Claims, isOwn, type OwnClaim, ownerName } from "./claims.ts";
import type { OwnAddress } from "./own_addresses.ts";
import { Vacancy, vacantClaims, vacantRow } from "./vacancy.ts";

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
  /** What the node's stack takes as its own. */
  own: Table<OwnAddress>;
  addresses: Table<RemoteAddress>;
  local: Table<LocalAddress>;
  cidrs: Table<CidrIdentity>;
  apiServers: Table<ApiServer>;
}

/** Tables that follow those inputs. Dispose of it to stop that. */
export interface IpcacheTables extends Disposable {
  ipcache: Table<IpcacheRow>;
  problems: Table<Problem>;
}

const ALL_IPV4 = parseCidr("0.0.0.0/0");
const ALL_IPV4_KEY = formatCidr(ALL_IPV4);

function nodeClaims(node: ClusterNode): OwnClaim[] {
  const identity = node.local ? RESERVED_IDENTITIES.host : RESERVED_IDENTITIES["remote-node"];
  const end = tunnelEnd(node);
  const claim = (address: Uint8Array, tunnel: IpcacheRow["tunnel"]): OwnClaim => ({
    kind: "node",
    owner: node.name,
    row: {
      ...{ prefix: formatIp(address), identity, kind: "node", tunnel },
      ...(end ? { node: end } : {}),
    },
  });
  const routers = [node.routerIpv4, node.routerIpv6].filter((ip) => ip !== undefined);
  return [
    ...node.addresses.map((address) => claim(address, null)),
    ...routers.map((address) => claim(address, end ?? null)),
    ...vacantClaims(node),
  ];
}

/** The address of another node where the tunnel to it ends, and which its frames come from. */
export function tunnelEnd(node: ClusterNode): Uint8Array<ArrayBuffer> | undefined {
  return node.local ? undefined : node.ipv4 ?? node.ipv6;
}

function ownClaims({ address }: OwnAddress): OwnClaim[] {
  const { host } = RESERVED_IDENTITIES;
  const row: IpcacheRow = { prefix: formatIp(address), identity: host, kind: "node", tunnel: null };
  return [{ kind: "own", owner: "", row }];
}

function endpointClaims({ id, pod, identity, addresses }: LocalAddress): OwnClaim[] {
  return addresses.map((address) => ({
    kind: "endpoint",
    owner: pod,
    row: { prefix: formatIp(address), identity, kind: "endpoint", tunnel: null, endpointId: id },
  }));
}

function cidrClaims({ id, cidr }: CidrIdentity): OwnClaim[] {
  const row: IpcacheRow = { prefix: ipcacheKey(cidr), identity: id, kind: "cidr", tunnel: null };
  return [{ kind: "cidr", owner: "", row }];
}

/** The claims, and which addresses a change is about. */
class Index {
  readonly claims = new Claims();
  readonly #vacancy = new Vacancy();
  readonly #inputs: IpcacheInputs;
  /** Addresses of this node as text. */
  #own = new Set<string>();
  /** Keys of the prefixes that hold all of IPv4. */
  readonly #guarded = new Set<string>();
  /** The nodes' addresses by their texts: one for all the pods of a node. */
  readonly #tunnels = new Map<string, Uint8Array<ArrayBuffer>>();

  constructor(inputs: IpcacheInputs) {
    this.#inputs = inputs;
  }

  /** Takes the claims of the row before away, and adds those of the row after. */
  replace<Row>(change: Change<Row>, claimsOf: (row: Row) => OwnClaim[]): string[] {
    const [before, after] = [
      change.kind === "added" ? [] : claimsOf(change.previous),
      change.kind === "deleted" ? [] : claimsOf(change.row),
    ];
    for (const { kind, owner, row } of before) {
      const same = (claim: Claim) =>
        isOwn(claim) && claim.kind === kind && claim.owner === owner &&
        claim.row.endpointId === row.endpointId;
      this.claims.remove(row.prefix, same);
    }
    for (const claim of after) this.claims.add(claim.row.prefix, claim);
    return [...before, ...after].map(({ row }) => row.prefix);
  }

  node(change: Change<ClusterNode>): string[] {
    const affected = [...this.replace(change, nodeClaims), ...this.#vacancy.node(change)];
    if (![...rowsOf(change)].some(({ local }) => local)) return affected;
    const own = change.kind !== "deleted" && change.row.local ? change.row.addresses : [];
    this.#own = new Set(own.map(formatIp));
    return [...affected, ...this.#inputs.addresses.rows().map(({ prefix }) => prefix)];
  }

  address(change: Change<RemoteAddress>): string[] {
    const affected = [...rowsOf(change)].map(({ prefix }) => prefix);
    if (change.kind !== "added") {
      const { prefix, pod, node, cluster } = change.previous;
      const same = (claim: Claim) =>
        !isOwn(claim) && claim.pod === pod && claim.node === node && claim.cluster === cluster;
      this.claims.remove(prefix, same);
    }
    if (change.kind !== "deleted") this.claims.add(change.row.prefix, change.row);
    return affected;
  }

  cidr(change: Change<CidrIdentity>): string[] {
    const guards = (cidr: Cidr) => cidrContainsCidr(cidr, ALL_IPV4);
    const affected = this.replace(change, cidrClaims);
    this.#vacancy.prefix(change);
    if (![...rowsOf(change)].some(({ cidr }) => guards(cidr))) return affected;
    this.#guarded.delete(change.key);
    if (change.kind !== "deleted" && guards(change.row.cidr)) this.#guarded.add(change.key);
    return [...affected, ALL_IPV4_KEY];
  }

  /** What this node has published: its endpoints are the truth about its own pods. */
  #isOwnPod(claim: Claim): boolean {
    return !isOwn(claim) && this.#own.has(claim.node);
  }

  of(prefix: string): readonly Claim[] {
    const claims = this.claims.get(prefix);
    return claims.some((claim) => this.#isOwnPod(claim))
      ? claims.filter((claim) => !this.#isOwnPod(claim))
      : claims;
  }

  compute(prefix: string): GroupResult<IpcacheRow> {
    const [first, ...others] = this.of(prefix);
    if (first) {
      return {
        rows: [this.#row(first)],
        problems: others.flatMap((each) => conflict(each, first)),
      };
    }
    // in the 16-byte form ::/0 holds the IPv4 addresses too: this row is in the way
    if (prefix !== ALL_IPV4_KEY || this.#guarded.size === 0) return { rows: [] };
    const identity = RESERVED_IDENTITIES["world-ipv4"];
    return { rows: [{ prefix, identity, kind: "cidr", tunnel: null }] };
  }

  /** Another node, at an address of the API server. */
  #isOtherApiServer({ row }: OwnClaim): boolean {
    return row.identity === RESERVED_IDENTITIES["remote-node"] &&
      this.#inputs.apiServers.has(row.prefix);
  }

  #row(claim: Claim): IpcacheRow {
    if (isOwn(claim)) {
      if (claim.kind === "cidr" && this.#vacancy.holds(claim.row.prefix)) {
        return vacantRow(claim.row.prefix);
      }
      return this.#isOtherApiServer(claim) ? asApiServer(claim.row) : claim.row;
    }
    let tunnel = this.#tunnels.get(claim.node);
    if (!tunnel) this.#tunnels.set(claim.node, tunnel = parseIp(claim.node));
    return { prefix: claim.prefix, identity: claim.identity, kind: "remote", tunnel };
  }
}

const asApiServer = (row: IpcacheRow): IpcacheRow => ({
  ...row,
  identity: RESERVED_IDENTITIES["kube-apiserver"],
});

/**
 * A prefix of one address that is a pod's or a node's is no conflict: those are known better. Pod CIDRs
 * of two nodes are one for the nodes.
 */
function conflict(loser: Claim, first: Claim): Problem[] {
  if (isOwn(loser) && (loser.kind === "cidr" || loser.kind === "vacant")) return [];
  const own = isOwn(first) && first.kind === "own";
  if (own && isOwn(loser) && loser.row.identity === first.row.identity) return [];
  const [object, owner] = [loser, first].map((claim) => {
    const [name = "", namespace = ""] = ownerName(claim).split("/").reverse();
    return { kind: isOwn(claim) && claim.kind === "node" ? "Node" : "Pod", namespace, name };
  });
  const source = formatObject(object!);
  if (source === formatObject(owner!)) return [];
  const prefix = isOwn(loser) ? loser.row.prefix : loser.prefix;
  const message = own
    ? `address ${prefix} is one of this node's own; change one`
    : `address ${prefix} is of ${formatObject(owner!)} already, which keeps it; change one`;
  return [{ source, object: object!, reason: "AddressConflict", message }];
}

/** Wires the derivation of the ipcache. Of two that claim one address the first keeps it. */
export function deriveIpcache(inputs: IpcacheInputs): IpcacheTables {
  const ipcache = new Table<IpcacheRow>({ name: "ipcache", key: ({ prefix }) => prefix });
  const problems = problemTable("address-problems");
  const index = new Index(inputs);
  const derivation = deriveGroups<IpcacheRow>({
    inputs: [
      groupInput(inputs.nodes, (change) => index.node(change)),
      groupInput(inputs.own, (change) => index.replace(change, ownClaims)),
      groupInput(inputs.local, (change) => index.replace(change, endpointClaims)),
      groupInput(inputs.addresses, (change) => index.address(change)),
      groupInput(inputs.cidrs, (change) => index.cidr(change)),
      groupInput(inputs.apiServers, ({ key }) => [key]),
    ],
    output: ipcache,
    problems,
    compute: (prefix) => index.compute(prefix),
  });
  return {
    ipcache,
    problems,
    [Symbol.dispose]: () => derivation[Symbol.dispose](),
  };
}
