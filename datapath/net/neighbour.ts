/** Permanent neighbours: which Ethernet address an IP address has on a link. Constants: include/uapi/linux/neighbour.h. */

import { formatIp, ipFromRaw, isIpv4, rawIp } from "./ip.ts";
import { formatMac } from "./mac.ts";
import { type NetlinkSocket, NLM_F_CREATE, NLM_F_REPLACE } from "./netlink.ts";
import { AF_INET, AF_INET6, NetlinkBody, parseAttributes, structOf } from "./netlink_message.ts";

const RTM_NEWNEIGH = 28, RTM_GETNEIGH = 30;
const NDA_DST = 1, NDA_LLADDR = 2, NDA_IFINDEX = 8;
const NUD_PERMANENT = 0x80;
const NDMSG_SIZE = 12;

export interface Neighbour {
  ifindex: number;
  ip: Uint8Array<ArrayBuffer>;
  mac: Uint8Array;
}

/** A neighbour as the kernel has it. */
export interface NeighbourRow extends Neighbour {
  /** It never expires and is never asked for. */
  permanent: boolean;
}

function body(ifindex: number, ip: Uint8Array<ArrayBuffer>): NetlinkBody {
  return new NetlinkBody().struct(NDMSG_SIZE, (view) => {
    view.setUint8(0, isIpv4(ip) ? AF_INET : AF_INET6);
    view.setInt32(4, ifindex, true);
    view.setUint16(8, NUD_PERMANENT, true);
  }).attribute(NDA_DST, rawIp(ip));
}

/** Sets a permanent neighbour. Throws KernelError. */
export function replaceNeighbour(netlink: NetlinkSocket, { ifindex, ip, mac }: Neighbour): void {
  const request = body(ifindex, ip).attribute(NDA_LLADDR, mac);
  netlink.request(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, request, {
    operation: "set neighbour",
    target: `${formatIp(ip)} at ${formatMac(mac)} on link ${ifindex}`,
  });
}

/** All neighbours with a known Ethernet address, both families, or those of one device. */
export function listNeighbours(
  netlink: NetlinkSocket,
  { ifindex }: { ifindex?: number } = {},
): NeighbourRow[] {
  const rows: NeighbourRow[] = [];
  for (const family of [AF_INET, AF_INET6]) {
    const request = new NetlinkBody().struct(NDMSG_SIZE, (view) => view.setUint8(0, family));
    if (ifindex !== undefined) request.u32(NDA_IFINDEX, ifindex);
    const dump = netlink.dump(RTM_GETNEIGH, request, { operation: "list", target: "neighbours" });
    for (const bytes of dump) {
      const view = structOf(bytes, NDMSG_SIZE);
      const attributes = parseAttributes(bytes.subarray(NDMSG_SIZE));
      const destination = attributes.get(NDA_DST), mac = attributes.get(NDA_LLADDR);
      if (!destination || !mac) continue;
      const row = view.getInt32(4, true);
      if (ifindex !== undefined && row !== ifindex) continue;
      rows.push({
        ifindex: row,
        ip: ipFromRaw(destination),
        mac,
        permanent: (view.getUint16(8, true) & NUD_PERMANENT) !== 0,
      });
    }
  }
  return rows;
}
