/** The addresses that the node's stack takes as its own, by the kernel's table of addresses. */

import type { LinkAddress } from "../../../datapath/net/address.ts";
import {
  type Cidr,
  cidrAddress,
  cidrSize,
  formatIp,
  isIpv4Cidr,
  isLinkLocal,
  isLoopback,
  maskCidr,
} from "../../../datapath/net/ip.ts";
import { derive } from "../../core/derive.ts";
import { Table } from "../../core/table.ts";

/** 16 bytes, key: as text. */
export interface OwnAddress {
  address: Uint8Array<ArrayBuffer>;
}

/** Networks with fewer host bits have no broadcast and no anycast address (RFC 3021, RFC 6164). */
const SHARED_HOST_BITS = 2;

/**
 * Of one address of a device: itself, IPv4's broadcast and network address, IPv6's subnet-router
 * anycast. None of those that never leave a link or the node: programs know these by their form.
 */
function takenWith(cidr: Cidr): Uint8Array<ArrayBuffer>[] {
  const { address, prefixLength } = cidr;
  if (isLoopback(address) || isLinkLocal(address)) return [];
  if (128 - prefixLength < SHARED_HOST_BITS) return [address];
  const network = maskCidr(cidr);
  return [
    address,
    network.address,
    ...isIpv4Cidr(cidr) ? [cidrAddress(network, cidrSize(network) - 1n)] : [],
  ];
}

/** Keeps a table of them. */
export function deriveOwnAddresses(
  addresses: Table<LinkAddress>,
): { own: Table<OwnAddress> } & Disposable {
  const own = new Table<OwnAddress>({
    name: "own-addresses",
    key: ({ address }) => formatIp(address),
  });
  const derivation = derive(
    [addresses],
    () => addresses.rows().flatMap(({ cidr }) => takenWith(cidr)).map((address) => ({ address })),
    own,
  );
  return { own, [Symbol.dispose]: () => derivation[Symbol.dispose]() };
}
