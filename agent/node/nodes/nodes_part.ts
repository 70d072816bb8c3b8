/** The cluster's nodes: the routes to their pods, and what programs know of this one. */

import type { Node as NodeValue } from "../../../datapath/maps/generated.ts";
import { formatCidr, formatIp, NO_ADDRESS } from "../../../datapath/net/ip.ts";
import { NO_MAC, parseMac } from "../../../datapath/net/mac.ts";
import type { Notice } from "../../../datapath/net/notices.ts";
import type { NodeView } from "../../api/views.ts";
import { derive, type Input } from "../../core/derive.ts";
import { problemTable } from "../../core/problem.ts";
import { Reconciler } from "../../core/reconciler.ts";
import type { Table } from "../../core/table.ts";
import type { AgentConfig } from "../config.ts";
import type { Kernel } from "../kernel.ts";
import { type MapRow, mapTable, mapTarget } from "../map_target.ts";
import { gauge } from "../metrics.ts";
import type { OwnAddress } from "../ipcache/own_addresses.ts";
import type { Part } from "../part.ts";
import type { ClusterNode } from "../../cluster/rows.ts";
import { devicesWithoutEthernet, type NodeDevice } from "../../sources/kernel/devices.ts";
import type { LoneNode } from "./lone_node.ts";
import type { NodeTables } from "./nodes.ts";
import { podCidrsOf } from "./pod_networks.ts";
import { mtuProblems, podCidrProblems } from "./restart_problems.ts";
import { restoreRoutes } from "./restore_routes.ts";
import { type NodeRoute, routeTable, routeTarget } from "./route_target.ts";
import { routerAddresses, routerAddressTable, routerAddressTarget } from "./router_addresses.ts";
import { tunnelTable, tunnelTarget } from "./tunnel.ts";

/** The row of pilus_node before anything is known. */
const NO_NODE: NodeValue = {
  ipv4: NO_ADDRESS,
  ipv6: NO_ADDRESS,
  routerIpv4: NO_ADDRESS,
  routerIpv6: NO_ADDRESS,
  denied: 0,
  hostBackends: 0,
  mac: NO_MAC,
  oneDevice: 0,
};

/** What {@linkcode nodesPart} takes. */
export interface NodesPartOptions {
  config: AgentConfig;
  kernel: Kernel;
  nodes: NodeTables;
  lone: Pick<LoneNode, "problems">;
  /** What the node's stack takes as its own. */
  own: Table<OwnAddress>;
  /** This node as it was when the agent started. */
  self: ClusterNode;
  /** Of the way to other nodes' pods, in bytes. */
  clusterMtu: number;
  /** Prefixes of the prefilter: programs look at its map only when there are some. */
  denied: Input & { readonly size: number };
  /** Frontends that this node itself answers. */
  hostFrontends: Table<string>;
}

/** Wires nodes to routes and to the node's own row. */
export function nodesPart(
  options: NodesPartOptions,
): Part {
  const { config, kernel, nodes: { nodes, problems }, lone, own, self, clusterMtu } = options;
  const { denied, hostFrontends } = options;
  const stack = new AsyncDisposableStack();
  const current = () => nodes.get(config.nodeName);
  const routes = routeTable();
  stack.use(derive(
    [nodes, kernel.devices, own],
    () => {
      const options = { kernel, own, self: current() ?? self, clusterMtu };
      return nodes.rows().flatMap((node) => routesTo(node, options));
    },
    routes,
  ));
  const nodeRows = mapTable<number, NodeValue>("node", String);
  stack.use(derive(
    [nodes, hostFrontends, denied, kernel.devices],
    () =>
      nodeRow(current(), {
        denied: denied.size,
        hostBackends: hostFrontends.size > 0 ? 1 : 0,
        ...onlyDevice(kernel.devices.rows()),
      }),
    nodeRows,
  ));
  const repairIntervalMs = config.repairInterval * 1000;
  const node = stack.use(
    new Reconciler({
      name: "node",
      desired: nodeRows,
      target: mapTarget(kernel.maps.pilus_node, {
        none: {
          value: NO_NODE,
          is: ({ ipv4, ipv6 }) => [...ipv4, ...ipv6].every((byte) => byte === 0),
        },
      }),
      repairIntervalMs,
    }),
  );
  const routing = stack.use(
    new Reconciler({
      name: "routes",
      desired: routes,
      target: routeTarget(kernel.netlink),
      repairIntervalMs,
    }),
  );
  const tunnels = tunnelTable();
  if (kernel.tunnel) {
    tunnels.set({ ifindex: kernel.tunnel, port: config.tunnelPort, mtu: clusterMtu });
  }
  const tunnel = stack.use(
    new Reconciler({
      name: "tunnel",
      desired: tunnels,
      target: tunnelTarget(kernel.netlink, kernel.tunnel, config.tunnelPort),
      repairIntervalMs,
    }),
  );
  const routers = routerAddressTable();
  stack.use(derive([nodes], () => routerAddresses(current() ?? self), routers));
  const router = stack.use(
    new Reconciler({
      name: "router-addresses",
      desired: routers,
      target: routerAddressTarget(kernel.netlink, routers),
      repairIntervalMs,
    }),
  );
  const lost = async (notice: Notice) => {
    const all = notice.kind === "overrun";
    const tunnelChanged = notice.kind === "link" && kernel.tunnel !== 0 &&
      notice.link.ifindex === kernel.tunnel;
    if (all || tunnelChanged) await tunnel.repair();
    const { links } = kernel.facts;
    const lo = (ifindex: number) => links.get(String(ifindex))?.name === "lo";
    const addressGone = notice.kind === "address" && notice.gone && lo(notice.address.ifindex);
    if (all || addressGone) await router.repair();
  };
  const restarts = problemTable("node-restart-problems");
  stack.use(derive([nodes, kernel.devices], () => [
    ...podCidrProblems(self, current()),
    ...mtuProblems(kernel.deviceMtu, kernel.devices.rows()),
  ], restarts));
  const { facts } = kernel;
  const bare = problemTable("device-problems");
  stack.use(
    derive(
      [facts.links, facts.defaultRoutes],
      () =>
        devicesWithoutEthernet(facts, config.devices).map((name) => ({
          source: `device ${name}`,
          message:
            "it has no Ethernet header: what comes by it finds no service, and what pods send by it " +
            "keeps their addresses; let routes lead to another device",
        })),
      bare,
    ),
  );
  let started = false;
  stack.use(facts.listen((notices) => {
    if (started) { for (const notice of notices) void lost(notice); }
  }));
  return {
    name: "nodes",
    reconcilers: [node, tunnel, router, routing],
    start() {
      started = true;
      stack.use(restoreRoutes(routing, kernel));
    },
    problems: [problems, lone.problems, restarts, bare],
    routes: { "GET /v1/nodes": () => nodes.rows().map(nodeView) },
    metrics() {
      const { ipv4 } = current() ?? {};
      return [gauge("node_info", "This node", 1, {
        node: config.nodeName,
        routing: config.routing,
        ...(ipv4 ? { ipv4: formatIp(ipv4) } : {}),
      })];
    },
    status: () => ({ nodes: nodes.size, podCidrs: podCidrs(current() ?? self) }),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** Of a node with one device its MAC, which programs then need not look up. */
function onlyDevice(devices: readonly NodeDevice[]): Pick<NodeValue, "mac" | "oneDevice"> {
  const [device] = devices;
  return devices.length === 1 && device?.mac
    ? { mac: parseMac(device.mac), oneDevice: 1 }
    : { mac: NO_MAC, oneDevice: 0 };
}

function podCidrs(node: ClusterNode): string[] {
  return podCidrsOf(node).map(formatCidr);
}

function nodeView(node: ClusterNode): NodeView {
  return {
    name: node.name,
    local: node.local,
    ...(node.ipv4 ? { ipv4: formatIp(node.ipv4) } : {}),
    ...(node.ipv6 ? { ipv6: formatIp(node.ipv6) } : {}),
    podCidrs: podCidrs(node),
  };
}

function nodeRow(
  self: ClusterNode | undefined,
  rest: Omit<NodeValue, "ipv4" | "ipv6" | "routerIpv4" | "routerIpv6">,
): MapRow<number, NodeValue>[] {
  if (!self) return [];
  return [{
    key: 0,
    value: {
      ipv4: self.ipv4 ?? NO_ADDRESS,
      ipv6: self.ipv6 ?? NO_ADDRESS,
      routerIpv4: self.routerIpv4 ?? NO_ADDRESS,
      routerIpv6: self.routerIpv6 ?? NO_ADDRESS,
      ...rest,
    },
  }];
}

/**
 * The routes to another node's pods: through the tunnel, or by the node itself. Pods of this node have
 * their own: what goes to none of them would leave by the default route, and come back.
 */
function routesTo(
  node: ClusterNode,
  { kernel: { tunnel, devices }, own, self, clusterMtu }: Pick<
    NodesPartOptions,
    "kernel" | "own" | "self" | "clusterMtu"
  >,
): NodeRoute[] {
  if (node.local) {
    return podCidrs(node).map((destination) => ({ destination, ifindex: 0 }));
  }
  const routes: NodeRoute[] = [];
  for (const family of ["Ipv4", "Ipv6"] as const) {
    const cidr = node[`podCidr${family}`];
    if (!cidr) continue;
    const destination = formatCidr(cidr);
    if (tunnel) {
      const source = self[`router${family}`];
      routes.push({
        destination,
        ifindex: tunnel,
        mtu: clusterMtu,
        ...(source ? { source: formatIp(source) } : {}),
      });
      continue;
    }
    const via = family === "Ipv4" ? node.ipv4 : node.ipv6;
    const source = family === "Ipv4" ? self.ipv4 : self.ipv6;
    const [device] = devices.rows();
    if (!via || !device) continue;
    routes.push({
      destination,
      ifindex: device.ifindex,
      via: formatIp(via),
      // the manifest may change before the device's address does
      ...(source && own.has(formatIp(source)) ? { source: formatIp(source) } : {}),
    });
  }
  return routes;
}
