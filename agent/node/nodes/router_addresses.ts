/** The router addresses, which pods have as gateway, on the host's lo. */

import { addAddress, listAddresses } from "../../../datapath/net/address.ts";
import { formatIp, parseIp } from "../../../datapath/net/ip.ts";
import { getLink, IFF_UP, setLink } from "../../../datapath/net/link.ts";
import type { NetlinkSocket } from "../../../datapath/net/netlink.ts";
import { attemptEach } from "../../core/attempt_each.ts";
import type { Target } from "../../core/reconciler.ts";
import { Table } from "../../core/table.ts";
import type { ClusterNode } from "../../cluster/rows.ts";

export interface RouterAddress {
  ip: string;
}

/** A table of router addresses. */
export function routerAddressTable(): Table<RouterAddress> {
  return new Table({ name: "router-addresses", key: ({ ip }) => ip });
}

/** Those of a node. */
export function routerAddresses({ routerIpv4, routerIpv6 }: ClusterNode): RouterAddress[] {
  return [routerIpv4, routerIpv6].filter((ip) => ip !== undefined)
    .map((ip) => ({ ip: formatIp(ip) }));
}

/** Those of `desired`; other addresses of lo belong to others. */
export function routerAddressTarget(
  netlink: NetlinkSocket,
  desired: Table<RouterAddress>,
): Target<RouterAddress> {
  return {
    read() {
      const { ifindex, flags } = getLink(netlink, "lo");
      if (!(flags & IFF_UP)) return [];
      return listAddresses(netlink, { ifindex }).map(({ cidr }) => ({ ip: formatIp(cidr.address) }))
        .filter(({ ip }) => desired.has(ip));
    },
    apply(upserts) {
      const failed = attemptEach(upserts, ({ ip }) => {
        const { ifindex, flags } = getLink(netlink, "lo");
        if (!(flags & IFF_UP)) setLink(netlink, ifindex, { up: true });
        addAddress(netlink, { ifindex, cidr: { address: parseIp(ip), prefixLength: 128 } });
      });
      return { failed };
    },
  };
}
