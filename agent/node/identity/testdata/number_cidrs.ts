/** Identities of prefixes without the derivation that counts their uses. */

import type { Cidr } from "../../../../datapath/net/ip.ts";
import { type CidrIdentity, cidrKey, CidrNumbers } from "../cidr.ts";

/** Numbers the prefixes, each counted once whatever its host bits, in the order of their texts. */
export function numberCidrs(cidrs: Iterable<Cidr>): CidrIdentity[] {
  const numbers = new CidrNumbers();
  const byText = new Map([...cidrs].map((cidr) => [cidrKey(cidr), cidr]));
  return [...byText].sort(([a], [b]) => a < b ? -1 : 1)
    .map(([, cidr]) => numbers.identity(cidr));
}
