/** What makes a host a node by itself, and what stands against it. */

import type { DatabaseSync } from "node:sqlite";
import { formatCidr, isIpv4Cidr, parseCidr } from "../../../datapath/net/ip.ts";
import { NetlinkSocket } from "../../../datapath/net/netlink.ts";
import { formatRoute, listRoutes } from "../../../datapath/net/route.ts";
import { readSysctl } from "../../../datapath/net/netns.ts";
import type { Log } from "../../core/log.ts";
import type { KernelFacts } from "../../sources/kernel/kernel_facts.ts";
import type { AgentConfig } from "../config.ts";
import { usedRanges } from "../ipam/address_pool.ts";
import type { LoneNode } from "./lone_node.ts";
import { podNetworks } from "./pod_networks.ts";
import { collidingRoute } from "./route_collision.ts";

/** What {@linkcode standAlone} takes. */
export interface StandAloneOptions {
  config: Pick<AgentConfig, "nodeName" | "podCidrs" | "manifests">;
  log: Log;
  facts: KernelFacts;
  database: DatabaseSync;
  lone: LoneNode;
}

/**
 * Begins the lone node. Returns why it has to wait for its manifest instead. Throws Error that names
 * the fix when its pods' addresses would be others' too; while pods have them that is a problem.
 */
export function standAlone(
  { config, log, facts, database, lone }: StandAloneOptions,
): string | undefined {
  const { podCidrs: wanted, nodeName, manifests } = config;
  if (wanted.length === 0) return "--pod-cidr is none";
  const foreign = usedRanges(database).filter((range) => !wanted.includes(range));
  if (foreign.length > 0) {
    const used = foreign.join(",");
    return `its pods have addresses of ${used}; without the manifest, --pod-cidr ${used} goes on`;
  }
  const noIpv6 = readSysctl("ipv6/conf/lo/disable_ipv6") !== "0";
  const podCidrs = wanted.filter((cidr) => !noIpv6 || isIpv4Cidr(parseCidr(cidr)));
  if (podCidrs.length === 0) return `IPv6 is off on this host, and --pod-cidr has nothing else`;
  const collision = collisionOf(podCidrs, facts);
  const inUse = usedRanges(database).length > 0;
  if (collision && !inUse) {
    throw new Error(`Cannot give pods addresses: ${collision}; name other prefixes by --pod-cidr`);
  }
  lone.begin(podCidrs, collision);
  log.info("no manifest has a Node, so this host is one by itself", {
    node: nodeName,
    podCidrs: podCidrs.join(","),
    manifests,
    ...(noIpv6 ? { ipv6: "off on this host" } : {}),
  });
  return undefined;
}

/** The route of the host that leads to addresses of pods, in words. */
function collisionOf(
  podCidrs: readonly string[],
  { links }: KernelFacts,
): string | undefined {
  using netlink = NetlinkSocket.open();
  const collision = collidingRoute(podNetworks(podCidrs), listRoutes(netlink, { table: "all" }));
  if (!collision) return undefined;
  const { cidr, route: { ifindex, ...route } } = collision;
  const device = ifindex === undefined ? undefined : links.get(String(ifindex))?.name;
  const words = `${formatRoute(route)}${device ? ` dev ${device}` : ""}`;
  return `pod CIDR ${formatCidr(cidr)} collides with this host's route ${words}`;
}
