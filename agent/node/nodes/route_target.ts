/** Routes of the node's main table as the kernel's side of a reconciler. */

import { isErrno } from "../../../datapath/bpf/kernel_error.ts";
import { formatCidr, formatIp, parseCidr, parseIp } from "../../../datapath/net/ip.ts";
import type { NetlinkSocket } from "../../../datapath/net/netlink.ts";
import { deleteRoute, listRoutes, replaceRoute, type Route } from "../../../datapath/net/route.ts";
import { attemptEach } from "../../core/attempt_each.ts";
import type { Target } from "../../core/reconciler.ts";
import { Table } from "../../core/table.ts";

/** Marks routes as ours (rtm_protocol); the numbers from 192 on are free (include/uapi/linux/rtnetlink.h). */
export const ROUTE_PROTOCOL = 201;

/** Higher than those of others who have routes to the same prefix. */
const UNREACHABLE_PRIORITY = 1 << 24;

/** A route to the pods of another node, or the answer for addresses that no pod of this node has. */
export interface NodeRoute {
  /** Prefix as text. */
  destination: string;
  /** 0: there is none, the prefix is unreachable. */
  ifindex: number;
  /** Next hop; undefined for the tunnel device. */
  via?: string;
  /** The source address of the node's own packets. */
  source?: string;
  /** Bytes. */
  mtu?: number;
}

/** A table of routes by destination. */
export function routeTable(): Table<NodeRoute> {
  return new Table({ name: "routes", key: ({ destination }) => destination });
}

/** All routes of our protocol in the main table belong to it. */
export function routeTarget(netlink: NetlinkSocket): Target<NodeRoute> {
  return {
    read() {
      return listRoutes(netlink).filter((route) => route.protocol === ROUTE_PROTOCOL).map((r) => ({
        destination: formatCidr(r.destination),
        ifindex: r.type === "unreachable" ? 0 : r.ifindex ?? 0,
        ...(r.via ? { via: formatIp(r.via) } : {}),
        ...(r.source ? { source: formatIp(r.source) } : {}),
        ...(r.mtu ? { mtu: r.mtu } : {}),
      }));
    },
    apply(upserts, deletes) {
      return {
        failed: [
          ...attemptEach(deletes, (row) => remove(netlink, row)),
          ...attemptEach(upserts, (row) => replaceRoute(netlink, kernelRoute(row))),
        ],
      };
    },
  };
}

function remove(netlink: NetlinkSocket, row: NodeRoute): void {
  try {
    deleteRoute(netlink, kernelRoute(row));
  } catch (error) {
    if (!isErrno(error, "ENODEV")) throw error; // the device took its routes along
  }
}

function kernelRoute({ destination, ifindex, via, source, mtu }: NodeRoute): Route {
  return {
    destination: parseCidr(destination),
    protocol: ROUTE_PROTOCOL,
    ...(ifindex ? { ifindex } : { type: "unreachable", priority: UNREACHABLE_PRIORITY }),
    ...(via ? { via: parseIp(via) } : {}),
    ...(source ? { source: parseIp(source) } : {}),
    ...(mtu ? { mtu } : {}),
  };
}
