/** Identities of prefixes that policies name. They are this node's own: no other node sees them. */

import { type Cidr, formatCidr, isIpv4Cidr, maskCidr } from "../../../datapath/net/ip.ts";
import { hash32, type LabelMap } from "../../cluster/labels.ts";

/** The scope in an identity's top 8 bits that says it is of a prefix, known on this node alone. */
export const CIDR_IDENTITY_SCOPE = 0x01_00_00_00;
const NUMBERS = 0xff_ffff;

/** The number of a prefix. */
export interface CidrIdentity {
  id: number;
  cidr: Cidr;
  labels: LabelMap;
}

/**
 * Numbers the prefixes, each counted once whatever its host bits. A number comes from a hash of
 * the prefix, so it is the same after a restart without being stored; only of two prefixes with one
 * hash does the second depend on the first being there.
 */
export function numberCidrs(cidrs: Iterable<Cidr>): CidrIdentity[] {
  const byText = new Map<string, Cidr>();
  for (const cidr of cidrs) {
    const masked = maskCidr(cidr);
    byText.set(formatCidr(masked), masked);
  }
  const taken = new Set<number>();
  const result: CidrIdentity[] = [];
  for (const [text, cidr] of [...byText].sort(([a], [b]) => a < b ? -1 : 1)) {
    let offset = hash32(text) % NUMBERS;
    while (taken.has(offset)) offset = (offset + 1) % NUMBERS;
    taken.add(offset);
    result.push({
      id: CIDR_IDENTITY_SCOPE + 1 + offset,
      cidr,
      labels: { [`cidr:${text}`]: "", [`reserved:world-ipv${isIpv4Cidr(cidr) ? 4 : 6}`]: "" },
    });
  }
  return result;
}
