/** Which prefixes hold addresses of pods only: what no known pod has of them is nobody's. */

import { type Cidr, cidrContainsCidr, parseCidr } from "../../../datapath/net/ip.ts";
import { RESERVED_IDENTITIES } from "../../cluster/identities.ts";
import type { ClusterNode } from "../../cluster/rows.ts";
import type { CidrIdentity } from "../identity/cidr.ts";
import type { Change } from "../../core/table.ts";
import { podCidrsOf } from "../nodes/pod_networks.ts";
import { PrefixIndex } from "../policy/prefix_index.ts";
import type { OwnClaim } from "./claims.ts";
import { ipcacheKey, type IpcacheRow } from "./ipcache_row.ts";

/** The row of such a prefix. It is no part of the world, whatever policies say of its addresses. */
export function vacantRow(prefix: string): IpcacheRow {
  return { prefix, identity: RESERVED_IDENTITIES.unmanaged, kind: "vacant", tunnel: null };
}

/** A node's pod CIDRs. */
export function vacantClaims(node: ClusterNode): OwnClaim[] {
  return podCidrsOf(node).map((cidr) => ({
    kind: "vacant",
    owner: node.name,
    row: vacantRow(ipcacheKey(cidr)),
  }));
}

/** The pod CIDRs of all nodes, and policies' prefixes within them. */
export class Vacancy {
  readonly #podCidrs = new PrefixIndex<{ node: string; cidr: Cidr }>();
  readonly #prefixes = new PrefixIndex<CidrIdentity>();
  /** By node, what it has in the index. */
  readonly #ofNode = new Map<string, { node: string; cidr: Cidr }[]>();

  /** Takes the change over. Returns the keys of policies' prefixes that it concerns. */
  node(change: Change<ClusterNode>): string[] {
    const before = this.#ofNode.get(change.key) ?? [];
    const cidrs = change.kind === "deleted" ? [] : podCidrsOf(change.row);
    const after = cidrs.map((cidr) => ({ node: change.key, cidr }));
    for (const item of before) this.#podCidrs.delete(item.cidr, item);
    for (const item of after) this.#podCidrs.add(item.cidr, item);
    if (after.length > 0) this.#ofNode.set(change.key, after);
    else this.#ofNode.delete(change.key);
    return [...before, ...after].flatMap(({ cidr }) =>
      [...this.#prefixes.within(cidr)].map((prefix) => ipcacheKey(prefix.cidr))
    );
  }

  /** Takes the change of a policy's prefix over. */
  prefix(change: Change<CidrIdentity>): void {
    if (change.kind !== "added") this.#prefixes.delete(change.previous.cidr, change.previous);
    if (change.kind !== "deleted") this.#prefixes.add(change.row.cidr, change.row);
  }

  /** Whether it lies in the pod CIDR of a node. */
  holds(prefix: string): boolean {
    const cidr = parseCidr(prefix);
    return this.#podCidrs.around(cidr).some((pods) => cidrContainsCidr(pods.cidr, cidr));
  }
}
