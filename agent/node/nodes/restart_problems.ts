/** What the node has changed to that counts only when its agent starts anew. */

import { formatCidr } from "../../../datapath/net/ip.ts";
import type { ClusterNode } from "../../cluster/rows.ts";
import { equalData } from "../../core/equal.ts";
import type { Problem } from "../../core/problem.ts";
import type { NodeDevice } from "../../sources/kernel/devices.ts";
import { podCidrsOf } from "./pod_networks.ts";

const REASON = "RestartNeeded";

/** Pods get addresses of the pod CIDRs that the node had when the agent started. */
export function podCidrProblems(started: ClusterNode, now: ClusterNode | undefined): Problem[] {
  if (!now) return [];
  const [before, after] = [started, now].map((node) => podCidrsOf(node).map(formatCidr));
  if (equalData(before, after)) return [];
  const words = (cidrs: string[] = []) => cidrs.join(", ") || "none";
  return [{
    source: `Node ${now.name}`,
    object: { kind: "Node", namespace: "", name: now.name },
    field: "spec.podCIDRs",
    reason: REASON,
    message:
      `new pods get addresses of ${words(before)}, and ${words(after)} counts when the agent ` +
      "has been restarted; pods that keep addresses of before are not known to other nodes: make " +
      "them anew",
  }];
}

/** The tunnel and new pods have MTUs that follow from the devices' smallest one when the agent started. */
export function mtuProblems(started: number, devices: readonly NodeDevice[]): Problem[] {
  return devices.filter(({ mtu }) => mtu < started).map(({ name, mtu }) => ({
    source: `device ${name}`,
    reason: REASON,
    message:
      `its MTU is ${mtu}, and the tunnel and pods count with ${started}, so that what is too ` +
      "long for it may be lost: restart the agent, and make the pods anew that it finds",
  }));
}
