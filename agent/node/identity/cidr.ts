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

/** The prefix without host bits, as text: the same for all ways to write it. */
export function cidrKey(cidr: Cidr): string {
  return formatCidr(maskCidr(cidr));
}

/**
 * Numbers of prefixes. A number comes from a hash of the prefix, so it is the same after a restart
 * without being stored; only of two prefixes with one hash does the later one get another.
 */
export class CidrNumbers {
  #offsets = new Map<string, number>();
  #taken = new Set<number>();

  /** The identity of a prefix, which keeps its number until it is released. */
  identity(cidr: Cidr): CidrIdentity {
    const text = cidrKey(cidr);
    let offset = this.#offsets.get(text);
    if (offset === undefined) {
      offset = hash32(text) % NUMBERS;
      while (this.#taken.has(offset)) offset = (offset + 1) % NUMBERS;
      this.#offsets.set(text, offset);
      this.#taken.add(offset);
    }
    return {
      id: CIDR_IDENTITY_SCOPE + 1 + offset,
      cidr: maskCidr(cidr),
      labels: { [`cidr:${text}`]: "", [`reserved:world-ipv${isIpv4Cidr(cidr) ? 4 : 6}`]: "" },
    };
  }

  /** Gives back the number of a prefix by its {@linkcode cidrKey}. */
  release(text: string): void {
    const offset = this.#offsets.get(text);
    if (offset === undefined) return;
    this.#offsets.delete(text);
    this.#taken.delete(offset);
  }
}
