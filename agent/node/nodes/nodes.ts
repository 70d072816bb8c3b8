/** The cluster's nodes: how they are reached and which pods are theirs. */

import {
  type Cidr,
  cidrAddress,
  cidrContainsCidr,
  formatCidr,
  isIpv4,
  isIpv4Cidr,
  maskCidr,
  parseCidr,
  tryParseIp,
} from "../../../datapath/net/ip.ts";
import type { ClusterNode } from "../../cluster/rows.ts";
import type { Node } from "../../kubernetes/resources.ts";
import { derive } from "../../core/derive.ts";
import { type Problem, problemTable } from "../../core/problem.ts";
import { Table } from "../../core/table.ts";

/** Tables that follow the Node resources. Dispose of it to stop that. */
export interface NodeTables extends Disposable {
  nodes: Table<ClusterNode>;
  problems: Table<Problem>;
}

function clusterNode(node: Node, localName: string): ClusterNode {
  const result: ClusterNode = {
    name: node.metadata.name,
    local: node.metadata.name === localName,
    addresses: [],
  };
  for (const { type, address } of node.status?.addresses ?? []) {
    const ip = type === "InternalIP" || type === "ExternalIP" ? tryParseIp(address) : undefined;
    if (!ip) continue;
    result.addresses.push(ip);
    if (type !== "InternalIP") continue;
    if (isIpv4(ip)) result.ipv4 ??= ip;
    else result.ipv6 ??= ip;
  }
  const { podCIDR, podCIDRs = [] } = node.spec ?? {};
  for (const text of podCIDRs.length > 0 ? podCIDRs : podCIDR === undefined ? [] : [podCIDR]) {
    const cidr = maskCidr(parseCidr(text));
    const router = cidr.prefixLength < 127 ? cidrAddress(cidr, 1) : undefined;
    if (!router) continue;
    if (isIpv4Cidr(cidr)) {
      if (result.podCidrIpv4) continue;
      result.podCidrIpv4 = cidr;
      result.routerIpv4 = router;
    } else if (!result.podCidrIpv6) {
      result.podCidrIpv6 = cidr;
      result.routerIpv6 = router;
    }
  }
  return result;
}

function nodeProblems(nodes: readonly ClusterNode[]): Problem[] {
  const problems: Problem[] = [];
  const seen: { name: string; cidr: Cidr }[] = [];
  for (const node of nodes) {
    const source = `Node ${node.name}`;
    if (!node.ipv4 && !node.ipv6) {
      problems.push({ source, message: "has no InternalIP, so its pods cannot be reached" });
    }
    if (!node.podCidrIpv4 && !node.podCidrIpv6) {
      problems.push({
        source,
        message: "has no podCIDR with room for pods (at least two bits), so it can have none",
      });
    }
    for (const cidr of [node.podCidrIpv4, node.podCidrIpv6]) {
      if (!cidr) continue;
      const other = seen.find((each) =>
        cidrContainsCidr(each.cidr, cidr) || cidrContainsCidr(cidr, each.cidr)
      );
      if (other) {
        const where = `${formatCidr(other.cidr)} of Node ${other.name}`;
        problems.push({ source, message: `podCIDR ${formatCidr(cidr)} overlaps ${where}` });
      }
      seen.push({ name: node.name, cidr });
    }
  }
  return problems;
}

/** Wires the derivation of nodes; `localName` is this node's. */
export function deriveNodes(source: Table<Node>, localName: string): NodeTables {
  const nodes = new Table<ClusterNode>({ name: "cluster-nodes", key: ({ name }) => name });
  const problems = problemTable("node-problems");
  const derivations = [
    derive([source], () => source.rows().map((node) => clusterNode(node, localName)), nodes),
    derive([nodes], () => nodeProblems(nodes.rows()), problems),
  ];
  return {
    nodes,
    problems,
    [Symbol.dispose]() {
      for (const derivation of derivations) derivation[Symbol.dispose]();
    },
  };
}
