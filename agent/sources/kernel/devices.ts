/** The node's own devices: where packets come in, and whose addresses pods take outside. */

import { listAddresses, SCOPE_UNIVERSE } from "../../../datapath/net/address.ts";
import { formatIp, isIpv4 } from "../../../datapath/net/ip.ts";
import { findLink, type Link } from "../../../datapath/net/link.ts";
import type { NetlinkSocket } from "../../../datapath/net/netlink.ts";
import { listRoutes } from "../../../datapath/net/route.ts";

export interface NodeDevice {
  name: string;
  ifindex: number;
  mtu: number;
  /** Its first global address of each family. */
  ipv4?: string;
  ipv6?: string;
}

/** The named devices, or those that have a default route. Throws Error that names the fix. */
export function findDevices(netlink: NetlinkSocket, names: readonly string[]): NodeDevice[] {
  const wanted: (string | number)[] = names.length > 0 ? [...names] : defaultDevices(netlink);
  if (wanted.length === 0) {
    throw new Error(
      "Cannot tell the node's devices: none has a default route; name them by --device",
    );
  }
  return wanted.map((name) => {
    const link = findLink(netlink, name);
    if (!link) throw new Error(`Cannot use device ${name}: there is none; see \`ip link\``);
    return deviceOf(netlink, link);
  });
}

function defaultDevices(netlink: NetlinkSocket): number[] {
  const indexes = listRoutes(netlink).filter((route) =>
    isDefault(route.destination) && route.ifindex !== undefined
  ).map((route) => route.ifindex!);
  return [...new Set(indexes)];
}

function isDefault(cidr: { address: Uint8Array; prefixLength: number }): boolean {
  return cidr.prefixLength === (isIpv4(cidr.address) ? 96 : 0);
}

function deviceOf(netlink: NetlinkSocket, link: Link): NodeDevice {
  const device: NodeDevice = { name: link.name, ifindex: link.ifindex, mtu: link.mtu };
  for (const { cidr, scope } of listAddresses(netlink, { ifindex: link.ifindex })) {
    if (scope !== SCOPE_UNIVERSE) continue;
    if (isIpv4(cidr.address)) device.ipv4 ??= formatIp(cidr.address);
    else device.ipv6 ??= formatIp(cidr.address);
  }
  return device;
}
