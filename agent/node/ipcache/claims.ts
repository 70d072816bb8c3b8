/** Who claims which address, by address. */

import type { RemoteAddress } from "../../cluster/rows.ts";
import type { IpcacheRow } from "./ipcache_row.ts";

/** A claim of what this node knows itself: its addresses, nodes, its endpoints, prefixes of policies. */
export interface OwnClaim {
  kind: "own" | "node" | "endpoint" | "vacant" | "cidr";
  /** Name of the node, `namespace/name` of the pod; empty for a prefix. */
  owner: string;
  row: IpcacheRow;
}

/** A pod of another node claims with the row that its node publishes: there are very many. */
export type Claim = OwnClaim | RemoteAddress;

export function isOwn(claim: Claim): claim is OwnClaim {
  return "row" in claim;
}

export function ownerName(claim: Claim): string {
  return isOwn(claim) ? claim.owner : claim.pod;
}

const RANKS = { own: 0, node: 1, endpoint: 2, vacant: 4, cidr: 5 };
const REMOTE_RANK = 3;

/** The lower has the address; between pods of other nodes the name decides. */
function compare(a: Claim, b: Claim): number {
  const rank = (claim: Claim) => isOwn(claim) ? RANKS[claim.kind] : REMOTE_RANK;
  const text = (claim: Claim) => isOwn(claim) ? claim.owner : `${claim.pod} ${claim.node}`;
  const id = (claim: Claim) => isOwn(claim) ? claim.row.endpointId ?? 0 : 0;
  const [left, right] = [text(a), text(b)];
  return rank(a) - rank(b) || (left < right ? -1 : left > right ? 1 : id(a) - id(b));
}

/** The claims on each prefix, the one that has it first. */
export class Claims {
  /** Most prefixes have one claim, which takes no list. */
  readonly #byPrefix = new Map<string, Claim | Claim[]>();

  get(prefix: string): readonly Claim[] {
    const known = this.#byPrefix.get(prefix);
    if (known === undefined) return [];
    return Array.isArray(known) ? known : [known];
  }

  add(prefix: string, claim: Claim): void {
    const known = this.get(prefix);
    this.#byPrefix.set(prefix, known.length === 0 ? claim : [...known, claim].sort(compare));
  }

  /** Removes the claims that `which` takes. */
  remove(prefix: string, which: (claim: Claim) => boolean): void {
    const rest = this.get(prefix).filter((claim) => !which(claim));
    if (rest.length === 0) this.#byPrefix.delete(prefix);
    else this.#byPrefix.set(prefix, rest.length === 1 ? rest[0]! : rest);
  }
}
