/**
 * A host that no manifest speaks of: its addresses are those of its devices, its pods' those of
 * `--pod-cidr`. It has no other nodes; a manifest of its name comes before it.
 */

import { parseIp } from "../../../datapath/net/ip.ts";
import type { ClusterNode } from "../../cluster/rows.ts";
import { derive } from "../../core/derive.ts";
import { type Problem, problemTable } from "../../core/problem.ts";
import { Table } from "../../core/table.ts";
import type { NodeDevice } from "../../sources/kernel/devices.ts";
import { type PodNetworks, podNetworks } from "./pod_networks.ts";

/** See the module. Dispose of it to stop it. */
export interface LoneNode extends Disposable {
  /** None until {@linkcode LoneNode.begin}, then this host. */
  nodes: Table<ClusterNode>;
  problems: Table<Problem>;
  /** From now on the host is a node by itself. `fault`: what is wrong with its pod CIDRs. */
  begin(podCidrs: readonly string[], fault?: string): void;
}

/** Wires the host's devices to its row. */
export function deriveLoneNode(devices: Table<NodeDevice>, nodeName: string): LoneNode {
  const networks = new Table<PodNetworks>({ name: "lone-pod-cidrs", key: () => nodeName });
  const nodes = new Table<ClusterNode>({ name: "lone-node", key: ({ name }) => name });
  const problems = problemTable("lone-node-problems");
  const derivation = derive(
    [networks, devices],
    () => networks.rows().map((row) => loneNode(nodeName, row, devices.rows())),
    nodes,
  );
  return {
    nodes,
    problems,
    begin(podCidrs, fault) {
      networks.set(podNetworks(podCidrs));
      if (fault === undefined) return;
      problems.set({
        source: `Node ${nodeName}`,
        object: { kind: "Node", namespace: "", name: nodeName },
        reason: "AddressConflict",
        message: `${fault}: remove the pods and name other prefixes by --pod-cidr`,
      });
    },
    [Symbol.dispose]: () => derivation[Symbol.dispose](),
  };
}

/** A host that is off the network is known by its router addresses, which it has always. */
function loneNode(
  name: string,
  networks: PodNetworks,
  devices: readonly NodeDevice[],
): ClusterNode {
  const own = (family: "ipv4" | "ipv6") => {
    const text = devices.find((device) => device[family])?.[family];
    return text === undefined ? undefined : parseIp(text);
  };
  let ipv4 = own("ipv4"), ipv6 = own("ipv6");
  if (!ipv4 && !ipv6) ({ routerIpv4: ipv4, routerIpv6: ipv6 } = networks);
  return {
    name,
    local: true,
    ...(ipv4 ? { ipv4 } : {}),
    ...(ipv6 ? { ipv6 } : {}),
    addresses: [ipv4, ipv6].filter((ip) => ip !== undefined),
    ...networks,
  };
}
