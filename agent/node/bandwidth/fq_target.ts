/** The queues of the node's devices that keep the times of packets' departures: fq. */

import type { NetlinkSocket } from "../../../datapath/net/netlink.ts";
import { deleteQdisc, listQdiscs, type Qdisc, replaceQdisc } from "../../../datapath/net/qdisc.ts";
import { attemptEach } from "../../core/attempt_each.ts";
import type { Target } from "../../core/reconciler.ts";
import { Table } from "../../core/table.ts";

/** Of what is put there, so that it is known from what others have. */
const HANDLE = 0x7069 << 16;

/** What may give way: what the kernel puts there by itself. */
const DEFAULTS = ["noqueue", "pfifo_fast", "pfifo", "fq_codel", "mq"];

/** A device that needs fq. */
export interface PacedDevice {
  name: string;
  ifindex: number;
}

export function pacedTable(): Table<PacedDevice> {
  return new Table({ name: "paced-devices", key: ({ name }) => name });
}

/** Whether packets leave by fq, by each of the queues. */
function isPaced(qdiscs: readonly Qdisc[]): boolean {
  const root = qdiscs.find(({ parent }) => parent === undefined);
  const queues = qdiscs.filter(({ parent }) => parent !== undefined);
  return root?.kind === "fq" ||
    root?.kind === "mq" && queues.length > 0 && queues.every(({ kind }) => kind === "fq");
}

/** Puts fq at a device, of a device with several queues at each. Throws KernelError or Error. */
function pace(netlink: NetlinkSocket, { name, ifindex }: PacedDevice): void {
  const before = listQdiscs(netlink, ifindex);
  if (isPaced(before)) return;
  const root = before.find(({ parent }) => parent === undefined);
  if (root && !DEFAULTS.includes(root.kind)) {
    throw new Error(
      `Device ${name} has the qdisc ${root.kind}; make it fq, which keeps to pods' bandwidth`,
    );
  }
  if (root?.kind !== "mq") {
    replaceQdisc(netlink, { ifindex, kind: "fq", handle: HANDLE });
    return;
  }
  // the kernel's own has no handle by which its classes could be named
  replaceQdisc(netlink, { ifindex, kind: "mq", handle: HANDLE });
  const queues = listQdiscs(netlink, ifindex).filter(({ parent }) => parent !== undefined);
  for (const { parent } of queues) {
    replaceQdisc(netlink, { ifindex, kind: "fq", handle: 0, parent: parent! });
  }
}

const isOurs = ({ handle, parent }: Qdisc) => handle === HANDLE && parent === undefined;

/** What is at the device from here. */
export function ownQdisc(netlink: NetlinkSocket, ifindex: number): Qdisc | undefined {
  return listQdiscs(netlink, ifindex).find(isOurs);
}

/**
 * Devices that are in the table no more get back the kernel's default, where fq is from here; others'
 * fq does as well, and stays.
 *
 * @param devices of the node
 */
export function fqTarget(
  netlink: NetlinkSocket,
  devices: { rows(): readonly PacedDevice[] },
  desired: Table<PacedDevice>,
): Target<PacedDevice> {
  return {
    read() {
      return devices.rows().filter(({ name, ifindex }) => {
        const qdiscs = listQdiscs(netlink, ifindex);
        return desired.has(name) ? isPaced(qdiscs) : qdiscs.some(isOurs);
      }).map(({ name, ifindex }) => ({ name, ifindex }));
    },
    apply(upserts, deletes) {
      for (const { ifindex } of deletes) {
        const own = ownQdisc(netlink, ifindex);
        if (own) deleteQdisc(netlink, own);
      }
      return { failed: attemptEach(upserts, (device) => pace(netlink, device)) };
    },
  };
}
