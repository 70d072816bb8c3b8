/** Queueing disciplines of devices. Constants: include/uapi/linux/rtnetlink.h, pkt_sched.h. */

import { type NetlinkSocket, NLM_F_CREATE, NLM_F_REPLACE } from "./netlink.ts";
import { attributeString, NetlinkBody, parseAttributes, structOf } from "./netlink_message.ts";

const RTM_NEWQDISC = 36, RTM_DELQDISC = 37, RTM_GETQDISC = 38;
const TCA_KIND = 1;
const TCMSG_SIZE = 20;
/** As the parent: it is the device's own. */
const TC_H_ROOT = 0xffff_ffff;
/** Parents from here on are those of what is received. */
const TC_H_INGRESS = 0xffff_fff1;

/** A queueing discipline of a device. */
export interface Qdisc {
  ifindex: number;
  kind: string;
  /** `major << 16`; 0: the kernel gave none. */
  handle: number;
  /** The class that it stands in; undefined for the device's own. */
  parent?: number;
}

function message({ ifindex, handle, parent }: Omit<Qdisc, "kind">): NetlinkBody {
  return new NetlinkBody().struct(TCMSG_SIZE, (view) => {
    view.setInt32(4, ifindex, true);
    view.setUint32(8, handle, true);
    view.setUint32(12, parent ?? TC_H_ROOT, true);
  });
}

/** Those of what the device sends. */
export function listQdiscs(netlink: NetlinkSocket, ifindex: number): Qdisc[] {
  const request = new NetlinkBody().struct(TCMSG_SIZE, (view) => view.setInt32(4, ifindex, true));
  const rows: Qdisc[] = [];
  for (
    const bytes of netlink.dump(RTM_GETQDISC, request, { operation: "list", target: "qdiscs" })
  ) {
    const view = structOf(bytes, TCMSG_SIZE);
    const parent = view.getUint32(12, true);
    if (view.getInt32(4, true) !== ifindex) continue;
    if (parent >= TC_H_INGRESS && parent !== TC_H_ROOT) continue;
    const kind = parseAttributes(bytes.subarray(TCMSG_SIZE)).get(TCA_KIND);
    rows.push({
      ifindex,
      kind: attributeString(kind) ?? "",
      handle: view.getUint32(8, true),
      ...(parent === TC_H_ROOT ? {} : { parent }),
    });
  }
  return rows;
}

/** Puts it in the place of what is there. Throws KernelError: ENOENT when the kernel has no such kind. */
export function replaceQdisc(netlink: NetlinkSocket, qdisc: Qdisc): void {
  const request = message(qdisc).string(TCA_KIND, qdisc.kind);
  netlink.request(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, request, {
    operation: `set qdisc ${qdisc.kind}`,
    target: `link ${qdisc.ifindex}`,
  });
}

/** Gives the device the kernel's default in place of this one. Throws KernelError. */
export function deleteQdisc(netlink: NetlinkSocket, qdisc: Qdisc): void {
  netlink.request(RTM_DELQDISC, 0, message(qdisc), {
    operation: `delete qdisc ${qdisc.kind}`,
    target: `link ${qdisc.ifindex}`,
  });
}
