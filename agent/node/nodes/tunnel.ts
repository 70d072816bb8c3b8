/** The tunnel device: one for all peers, its key set per packet by BPF. */

import { createVxlan, deleteLink, findLink, IFF_UP, setLink } from "../../../datapath/net/link.ts";
import type { NetlinkSocket } from "../../../datapath/net/netlink.ts";
import { TUNNEL_DEVICE } from "../config.ts";

/**
 * Makes the device, with that MTU in bytes, or takes the one that is there. Returns its ifindex.
 * Throws KernelError, EEXIST when another device has the port.
 */
export function ensureTunnel(netlink: NetlinkSocket, port: number, mtu: number): number {
  const existing = findLink(netlink, TUNNEL_DEVICE);
  if (existing?.kind === "vxlan") return existing.ifindex;
  if (existing) deleteLink(netlink, TUNNEL_DEVICE);
  createVxlan(netlink, { name: TUNNEL_DEVICE, port, mtu });
  return findLink(netlink, TUNNEL_DEVICE)!.ifindex;
}

/** Has the device up, with that MTU in bytes. */
export function raiseTunnel(netlink: NetlinkSocket, mtu: number): void {
  const link = findLink(netlink, TUNNEL_DEVICE)!;
  if (link.mtu !== mtu || !(link.flags & IFF_UP)) {
    setLink(netlink, link.ifindex, { mtu, up: true });
  }
}
