/** Everything that pilus has put on this node, and its removal. */

import { checkRequirements } from "../../../datapath/loader.ts";
import { NetlinkSocket } from "../../../datapath/net/netlink.ts";
import { EndpointCopies } from "../endpoints/endpoint_copies.ts";
import { filesPlan, type InstalledFiles } from "./files.ts";
import { kernelPlan } from "./kernel.ts";
import type { UninstallPlan } from "./removal.ts";

export { type FailedRemoval, type Left, type Removal, removeAll } from "./removal.ts";

/** What the agent was started with, as far as it says where things are. */
export interface Installation extends InstalledFiles {
  bpffs: string;
}

/** A plan, and what its removals work with. */
export interface Uninstall extends UninstallPlan, Disposable {}

/** Looks at the node; changes nothing. Throws KernelError for one who is not root. */
export function planUninstall(installation: Installation): Uninstall {
  checkRequirements();
  const netlink = NetlinkSocket.open();
  try {
    const pods = podNames(installation.runDir);
    const { bpffs, runDir } = installation;
    const kernel = kernelPlan(netlink, bpffs, (device) => pods.get(device), runDir);
    const files = filesPlan(installation);
    return {
      removals: [...kernel.removals, ...files.removals],
      left: [...kernel.left, ...files.left],
      [Symbol.dispose]: () => netlink[Symbol.dispose](),
    };
  } catch (error) {
    netlink[Symbol.dispose]();
    throw error;
  }
}

/** Pods by the host's end, as far as the run directory knows them. */
function podNames(runDir: string): Map<string, string> {
  return new Map(
    new EndpointCopies(runDir).all()
      .map(({ hostIfname, namespace, pod }) => [hostIfname, `${namespace}/${pod}`]),
  );
}
