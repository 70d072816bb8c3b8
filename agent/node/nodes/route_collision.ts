/** Whether pods' addresses would hide somebody whom the host has a route to. */

import { type Cidr, cidrContainsCidr, equalIp, formatCidr } from "../../../datapath/net/ip.ts";
import type { Route } from "../../../datapath/net/route.ts";
import { isEverywhere } from "../option_kinds.ts";
import { ROUTE_PROTOCOL } from "./route_target.ts";
import { podCidrsOf, type PodNetworks } from "./pod_networks.ts";

/** Types of routes that lead to somebody. */
const LEADING: readonly Route["type"][] = ["unicast", "local", "broadcast"];

/** A pod CIDR, and a route of the host that shares addresses with it. */
export interface Collision {
  cidr: Cidr;
  route: Route;
}

/** The first one, over all tables of routes. Pilus's own routes are none. */
export function collidingRoute(
  networks: PodNetworks,
  routes: readonly Route[],
): Collision | undefined {
  const others = routes.filter((route) => LEADING.includes(route.type) && !isOwn(route, networks));
  for (const cidr of podCidrsOf(networks)) {
    const route = others.find(({ destination }) =>
      cidrContainsCidr(cidr, destination) ||
      !isEverywhere(destination) && cidrContainsCidr(destination, cidr)
    );
    if (route) return { cidr, route };
  }
  return undefined;
}

/** What an agent that ran before has left: to other nodes, to pods, of the router addresses. */
function isOwn({ destination, protocol, source }: Route, { routerIpv4, routerIpv6 }: PodNetworks) {
  const routers = [routerIpv4, routerIpv6].filter((ip) => ip !== undefined);
  return protocol === ROUTE_PROTOCOL ||
    routers.some((router) =>
      formatCidr(destination) === formatCidr({ address: router, prefixLength: 128 }) ||
      source !== undefined && equalIp(source, router)
    );
}
