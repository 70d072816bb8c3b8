/** Addresses of devices. Constants: include/uapi/linux/if_addr.h. */

import { type Cidr, formatCidr, ipFromRaw, IPV4_PREFIX_BITS, isIpv4Cidr, rawIp } from "./ip.ts";
import { deleteIfThere, type NetlinkSocket, NLM_F_CREATE, NLM_F_REPLACE } from "./netlink.ts";
import {
  AF_INET,
  AF_INET6,
  AF_UNSPEC,
  attributeNumber,
  NetlinkBody,
  parseAttributes,
  structOf,
} from "./netlink_message.ts";

const RTM_NEWADDR = 20, RTM_DELADDR = 21, RTM_GETADDR = 22;
const IFA_ADDRESS = 1, IFA_LOCAL = 2, IFA_FLAGS = 8;
const IFA_F_SECONDARY = 0x01, IFA_F_NODAD = 0x02, IFA_F_DEPRECATED = 0x20;
const IFA_F_TENTATIVE = 0x40, IFA_F_NOPREFIXROUTE = 0x200;
const IFADDRMSG_SIZE = 8;

/** Scopes of addresses and routes, include/uapi/linux/rtnetlink.h. */
export const SCOPE_UNIVERSE = 0, SCOPE_LINK = 253;

export interface LinkAddress {
  ifindex: number;
  cidr: Cidr;
  scope: number;
  /** IPv6: duplicate address detection is under way, and the address is not yet usable. */
  tentative: boolean;
  /** The host takes it as a source only where it has no other. */
  deprecated: boolean;
  /** IPv4: its network has one before it. IPv6: it is temporary (RFC 8981). */
  secondary: boolean;
}

export interface AddressOptions {
  ifindex: number;
  cidr: Cidr;
  /** @default {SCOPE_UNIVERSE} */
  scope?: number;
}

function body({ ifindex, cidr, scope = SCOPE_UNIVERSE }: AddressOptions): NetlinkBody {
  const ipv4 = isIpv4Cidr(cidr);
  const raw = rawIp(cidr.address);
  return new NetlinkBody().struct(IFADDRMSG_SIZE, (view) => {
    view.setUint8(0, ipv4 ? AF_INET : AF_INET6);
    view.setUint8(1, ipv4 ? cidr.prefixLength - IPV4_PREFIX_BITS : cidr.prefixLength);
    view.setUint8(3, scope);
    view.setUint32(4, ifindex, true);
  }).attribute(IFA_LOCAL, raw).attribute(IFA_ADDRESS, raw);
}

/**
 * Gives a device an address, usable at once: without duplicate address detection and without a
 * route for the prefix. An address that is there already stays. Throws KernelError.
 */
export function addAddress(netlink: NetlinkSocket, options: AddressOptions): void {
  const request = body(options).u32(IFA_FLAGS, IFA_F_NODAD | IFA_F_NOPREFIXROUTE);
  netlink.request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, request, {
    operation: "add address",
    target: `${formatCidr(options.cidr)} to link ${options.ifindex}`,
  });
}

/** Takes an address from a device. Returns false when it was not there. */
export function deleteAddress(netlink: NetlinkSocket, options: AddressOptions): boolean {
  return deleteIfThere(() =>
    netlink.request(RTM_DELADDR, 0, body(options), {
      operation: "delete address",
      target: `${formatCidr(options.cidr)} of link ${options.ifindex}`,
    })
  );
}

/** All addresses of the socket's namespace, or those of one device. */
export function listAddresses(
  netlink: NetlinkSocket,
  { ifindex }: { ifindex?: number } = {},
): LinkAddress[] {
  const request = new NetlinkBody().struct(IFADDRMSG_SIZE, (view) => {
    view.setUint8(0, AF_UNSPEC);
  });
  const rows = netlink.dump(RTM_GETADDR, request, { operation: "list", target: "addresses" });
  return rows.map(parseAddress).filter((row) => ifindex === undefined || row.ifindex === ifindex);
}

/** The address in the body of a message. Throws TypeError when it is malformed. */
export function parseAddress(bytes: Uint8Array): LinkAddress {
  const view = structOf(bytes, IFADDRMSG_SIZE);
  const attributes = parseAttributes(bytes.subarray(IFADDRMSG_SIZE));
  const raw = attributes.get(IFA_LOCAL) ?? attributes.get(IFA_ADDRESS);
  if (!raw) throw new TypeError("Netlink address row has no address");
  const flags = attributeNumber(attributes.get(IFA_FLAGS)) ?? view.getUint8(2);
  const bits = view.getUint8(1);
  return {
    ifindex: view.getUint32(4, true),
    cidr: {
      address: ipFromRaw(raw),
      prefixLength: raw.length === 4 ? bits + IPV4_PREFIX_BITS : bits,
    },
    scope: view.getUint8(3),
    tentative: (flags & IFA_F_TENTATIVE) !== 0,
    deprecated: (flags & IFA_F_DEPRECATED) !== 0,
    secondary: (flags & IFA_F_SECONDARY) !== 0,
  };
}
