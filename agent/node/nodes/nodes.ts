/** The cluster's nodes: how they are reached and which pods are theirs. */

import {
  type Cidr,
  cidrContains,
  cidrContainsCidr,
  formatCidr,
  formatIp,
  isIpv4,
  parseCidr,
  tryParseIp,
} from "../../../datapath/net/ip.ts";
import type { ClusterNode } from "../../cluster/rows.ts";
import type { Node } from "../../kubernetes/resources.ts";
import { derive } from "../../core/derive.ts";
import { type Problem, problemTable } from "../../core/problem.ts";
import { Table } from "../../core/table.ts";
import { isEverywhere } from "../option_kinds.ts";
import { podCidrsOf, podNetworks } from "./pod_networks.ts";

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
  for (const { type, address = "" } of node.status?.addresses ?? []) {
    const ip = type === "InternalIP" || type === "ExternalIP" ? tryParseIp(address) : undefined;
    if (!ip) continue;
    result.addresses.push(ip);
    if (type !== "InternalIP") continue;
    if (isIpv4(ip)) result.ipv4 ??= ip;
    else result.ipv6 ??= ip;
  }
  return { ...result, ...podNetworks(claimedPrefixes(node)) };
}

function claimedPrefixes({ spec: { podCIDR, podCIDRs = [] } = {} }: Node): string[] {
  return podCIDRs.length > 0 ? podCIDRs : podCIDR === undefined ? [] : [podCIDR];
}

/** Of prefixes that are much more than pods can have: they would hide everybody else. */
function claimProblems(nodes: readonly Node[]): Problem[] {
  return nodes.flatMap((node) =>
    claimedPrefixes(node).map(parseCidr).filter(isEverywhere).map((cidr) => ({
      source: `Node ${node.metadata.name}`,
      message: `podCIDR ${formatCidr(cidr)} is no prefix for pods: it is shorter than /8, and ` +
        "others are in it",
    }))
  );
}

/** Of nodes' own addresses in a prefix: the way to them leads to its node's pods. */
function hiddenProblem(
  source: string,
  cidr: Cidr,
  owners: readonly { name: string; address: Uint8Array }[],
): Problem[] {
  const [first, ...more] = owners.filter(({ address }) => cidrContains(cidr, address));
  if (!first) return [];
  const hidden = `the address ${formatIp(first.address)} of Node ${first.name}`;
  const others = more.length > 0 ? `, and ${more.length} more of nodes` : "";
  return [{ source, message: `podCIDR ${formatCidr(cidr)} has ${hidden}${others}` }];
}

function nodeProblems(nodes: readonly ClusterNode[]): Problem[] {
  const problems: Problem[] = [];
  const seen: { name: string; cidr: Cidr }[] = [];
  const owners = nodes.flatMap(({ name, addresses, routerIpv4, routerIpv6 }) =>
    addresses
      // of a host that is off the network
      .filter((address) => address !== routerIpv4 && address !== routerIpv6)
      .map((address) => ({ name, address }))
  );
  for (const node of nodes) {
    const source = `Node ${node.name}`;
    if (!node.ipv4 && !node.ipv6) {
      problems.push({ source, message: "has no InternalIP, so its pods cannot be reached" });
    }
    if (podCidrsOf(node).length === 0) {
      problems.push({
        source,
        message: "has no podCIDR with room for pods (at least two bits), so it can have none",
      });
    }
    for (const cidr of podCidrsOf(node)) {
      const other = seen.find((each) =>
        cidrContainsCidr(each.cidr, cidr) || cidrContainsCidr(cidr, each.cidr)
      );
      if (other) {
        const where = `${formatCidr(other.cidr)} of Node ${other.name}`;
        problems.push({ source, message: `podCIDR ${formatCidr(cidr)} overlaps ${where}` });
      }
      seen.push({ name: node.name, cidr });
      problems.push(...hiddenProblem(source, cidr, owners));
    }
  }
  return problems;
}

/** Of a node without a manifest while others have one. */
function strangerProblems(name: string, others: readonly string[]): Problem[] {
  if (others.length === 0) return [];
  const known = others.slice(0, 3).join(", ") + (others.length > 3 ? ", …" : "");
  return [{
    source: `Node ${name}`,
    object: { kind: "Node", namespace: "", name },
    reason: "NodeMissing",
    message: `has no manifest, so that other nodes (${known}) do not know it: write one`,
  }];
}

/**
 * Wires the derivation of nodes; `localName` is this node's. `lone` has this host as it is without a
 * manifest, which comes before it.
 */
export function deriveNodes(
  source: Table<Node>,
  localName: string,
  lone: Table<ClusterNode> = new Table({ name: "no-lone-node", key: ({ name }) => name }),
): NodeTables {
  const nodes = new Table<ClusterNode>({ name: "cluster-nodes", key: ({ name }) => name });
  const problems = problemTable("node-problems");
  const alone = () => lone.rows().filter(({ name }) => !source.has(name));
  const derivations = [
    derive(
      [source, lone],
      () => [...source.rows().map((node) => clusterNode(node, localName)), ...alone()],
      nodes,
    ),
    derive([nodes, source, lone], () => [
      ...claimProblems(source.rows()),
      ...nodeProblems(nodes.rows()),
      ...alone().flatMap(({ name }) => strangerProblems(name, source.keys())),
    ], problems),
  ];
  return {
    nodes,
    problems,
    [Symbol.dispose]() {
      for (const derivation of derivations) derivation[Symbol.dispose]();
    },
  };
}
