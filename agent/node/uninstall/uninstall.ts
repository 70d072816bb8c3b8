/** Everything that pilus has put on this node, and its removal. */

import { DatabaseSync } from "node:sqlite";
import { checkRequirements } from "../../../datapath/loader.ts";
import { NetlinkSocket } from "../../../datapath/net/netlink.ts";
import type { Endpoint } from "../../api/endpoint.ts";
import { filesPlan, type InstalledFiles } from "./files.ts";
import { kernelPlan } from "./kernel.ts";
import { isThere } from "./paths.ts";
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
  checkRequirements(undefined);
  const netlink = NetlinkSocket.open();
  try {
    const pods = podNames(installation.stateDir);
    const kernel = kernelPlan(netlink, installation.bpffs, (device) => pods.get(device));
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

/** Pods by the host's end; none when there is no database, or one that cannot be read. */
function podNames(stateDir: string): Map<string, string> {
  const path = `${stateDir}/pilus.db`;
  if (!isThere(path)) return new Map();
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path, { readOnly: true });
    const rows = database.prepare("SELECT endpoint FROM endpoints").all() as { endpoint: string }[];
    return new Map(
      rows.map(({ endpoint }) => JSON.parse(endpoint) as Endpoint)
        .map(({ hostIfname, namespace, pod }) => [hostIfname, `${namespace}/${pod}`]),
    );
  } catch {
    return new Map();
  } finally {
    database?.close();
  }
}
