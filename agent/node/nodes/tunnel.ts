/** The tunnel device: one for all peers, its key set per packet by BPF. */

import {
  createVxlan,
  deleteLink,
  findLink,
  IFF_UP,
  type Link,
  setLink,
} from "../../../datapath/net/link.ts";
import type { NetlinkSocket } from "../../../datapath/net/netlink.ts";
import { attemptEach } from "../../core/attempt_each.ts";
import type { Target } from "../../core/reconciler.ts";
import { Table } from "../../core/table.ts";
import { TUNNEL_DEVICE } from "../config.ts";

/** The device as it shall be: up, with that number, which the programs know. */
export interface TunnelRow {
  ifindex: number;
  /** UDP port. */
  port: number;
  /** Bytes. */
  mtu: number;
}

/** A table for the one tunnel device. */
export function tunnelTable(): Table<TunnelRow> {
  return new Table({ name: "tunnel", key: ({ ifindex }) => String(ifindex) });
}

/** Whether the device is the tunnel with that port, which none can change. */
function isTunnel(link: Link | undefined, port: number): link is Link {
  return link?.kind === "vxlan" && link.vxlanPort === port;
}

/**
 * Makes the device, with that MTU in bytes, or takes the one with that port that is there. Returns its
 * ifindex. Throws KernelError, EEXIST when another device has the port.
 */
export function ensureTunnel(netlink: NetlinkSocket, port: number, mtu: number): number {
  const existing = findLink(netlink, TUNNEL_DEVICE);
  if (isTunnel(existing, port)) return existing.ifindex;
  if (existing) deleteLink(netlink, TUNNEL_DEVICE);
  createVxlan(netlink, { name: TUNNEL_DEVICE, port, mtu });
  return findLink(netlink, TUNNEL_DEVICE)!.ifindex;
}

/** Deletes the device of an agent that had a tunnel: what comes to its port would still be taken out. */
export function removeTunnel(netlink: NetlinkSocket): void {
  if (findLink(netlink, TUNNEL_DEVICE)?.kind === "vxlan") deleteLink(netlink, TUNNEL_DEVICE);
}

/** Has the device up, with that MTU in bytes. */
export function raiseTunnel(netlink: NetlinkSocket, mtu: number): void {
  const link = findLink(netlink, TUNNEL_DEVICE)!;
  if (link.mtu !== mtu || !(link.flags & IFF_UP)) {
    setLink(netlink, link.ifindex, { mtu, up: true });
  }
}

/** The device of that number; one that was deleted is made anew with it. */
export function tunnelTarget(
  netlink: NetlinkSocket,
  ifindex: number,
  port: number,
): Target<TunnelRow> {
  return {
    read() {
      if (ifindex === 0) return [];
      const link = findLink(netlink, TUNNEL_DEVICE);
      const right = isTunnel(link, port) && link.ifindex === ifindex && link.flags & IFF_UP;
      return right ? [{ ifindex, port, mtu: link.mtu }] : [];
    },
    apply(upserts) {
      const failed = attemptEach(upserts, (row) => {
        const link = findLink(netlink, TUNNEL_DEVICE);
        if (!isTunnel(link, row.port) || link.ifindex !== row.ifindex) {
          if (link) deleteLink(netlink, TUNNEL_DEVICE);
          createVxlan(netlink, { name: TUNNEL_DEVICE, ...row });
        }
        raiseTunnel(netlink, row.mtu);
      });
      return { failed };
    },
  };
}
