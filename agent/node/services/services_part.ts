/** Services: from resources to the load balancer in the kernel. */

import { cidrContains } from "../../../datapath/net/ip.ts";
import type { Endpoint } from "../../api/endpoint.ts";
import type { Log } from "../../core/log.ts";
import { Reconciler } from "../../core/reconciler.ts";
import type { Table } from "../../core/table.ts";
import type { ClusterStore } from "../../cluster/cluster_store.ts";
import type { ResourceTables } from "../../kubernetes/resource_tables.ts";
import type { AgentConfig } from "../config.ts";
import type { IdentityPart } from "../identity/identity_part.ts";
import type { AddressNames } from "../ipcache/address_names.ts";
import type { Kernel } from "../kernel.ts";
import { mapTarget } from "../map_target.ts";
import { deriveNodeAddresses } from "../nodes/node_addresses.ts";
import type { NodeTables } from "../nodes/nodes.ts";
import type { Part } from "../part.ts";
import type { Frontend } from "./frontend.ts";
import { deriveFrontends } from "./frontends.ts";
import { HealthCheckServers } from "./health_checks.ts";
import { balancerRoutes } from "./inspect/balancer_routes.ts";
import { balancerMapDisplays } from "./inspect/map_displays.ts";
import { serviceViews } from "./inspect/service_views.ts";
import { MemberMap } from "./kernel/member_map.ts";
import { ServiceMaps } from "./kernel/service_maps.ts";
import { sameService } from "./kernel/service_row.ts";
import { deriveServiceRows } from "./kernel/service_rows.ts";
import { deriveReservedPorts, ReservedPorts } from "./reserved_ports.ts";
import { StaleSockets } from "./stale_sockets.ts";

/** See the module. */
export interface ServicesPart extends Part {
  frontends: Table<Frontend>;
  /** Addresses with some frontend, as text. */
  addresses: Table<{ address: Uint8Array<ArrayBuffer> }>;
  /** Keys of frontends that have a backend at an address of this node. */
  hostFrontends: Table<string>;
}

/** What {@linkcode servicesPart} takes. */
export interface ServicesPartOptions {
  config: AgentConfig;
  log: Log;
  kernel: Kernel;
  resources: ResourceTables;
  store: Pick<ClusterStore, "addresses">;
  nodes: NodeTables;
  endpoints: Table<Endpoint>;
  identity: IdentityPart;
  names: AddressNames;
}

/** Wires services to their maps, to health checks and to sockets of backends that are gone. */
export function servicesPart(
  options: ServicesPartOptions,
): ServicesPart {
  const { config, log, kernel, resources, store, nodes: { nodes }, endpoints, identity, names } =
    options;
  const { maps, facts } = kernel;
  const stack = new AsyncDisposableStack();
  const { routing, clusterCidrs, maglevSize } = config;
  const { localAddresses, identified } = identity;
  const { nodeAddresses } = stack.use(
    deriveNodeAddresses({ nodes, addresses: facts.addresses }, config.nodeName),
  );
  const inputs = { addresses: store.addresses, nodes, nodeAddresses, localAddresses };
  const { frontends, problems, checkProblems, healthChecks } = stack.use(
    deriveFrontends({ ...resources, ...inputs }, {
      nodeName: config.nodeName,
      routing,
      balancing: {
        mode: config.lbMode,
        dispatch: config.dsrDispatch,
        algorithm: config.lbAlgorithm,
      },
      nodePortRange: config.nodePortRange,
    }),
  );
  const { services, sourceRanges, dsrFrontends, addresses, hostFrontends } = stack.use(
    deriveServiceRows({ frontends, nodes }, {
      routing,
      clusterCidrs,
      adopted: maps.pilus_services.entries(), // left by an earlier agent
    }),
  );
  let servicesWithoutTable = 0;
  const serviceMaps = stack.use(
    new ServiceMaps({
      services: maps.pilus_services,
      backends: maps.pilus_backends,
      maglev: maps.pilus_maglev,
      maglevSize,
      onShortage(count) {
        servicesWithoutTable = count;
        if (count === 0) return;
        log.warn("no room for Maglev tables: backends are chosen at random", {
          services: count,
          fix: "start the agent with a larger --map-size pilus_maglev",
        });
      },
    }),
  );
  const repairIntervalMs = config.repairInterval * 1000;
  const installing = stack.use(
    new Reconciler({
      name: "services",
      desired: services,
      target: serviceMaps,
      matches: sameService,
      repairIntervalMs,
    }),
  );
  const members = stack.use(
    new Reconciler({
      name: "service-members",
      desired: services,
      target: new MemberMap(maps.pilus_backend_index),
      matches: sameService,
      repairIntervalMs,
    }),
  );
  const ranges = stack.use(
    new Reconciler({
      name: "source-ranges",
      desired: sourceRanges,
      target: mapTarget(maps.pilus_source_ranges),
      repairIntervalMs,
    }),
  );
  const healthCheckServers = stack.use(
    new HealthCheckServers(
      healthChecks,
      ({ namespace, name, port }, error) =>
        log.warn("health check failed", {
          service: `${namespace}/${name}`,
          port,
          error: String(error),
        }),
    ),
  );
  const checking = stack.use(
    new Reconciler({
      name: "health-checks",
      desired: healthChecks,
      target: healthCheckServers,
      maxBackoffMs: 2_000, // for a port that somebody else has
      repairIntervalMs,
    }),
  );
  const { reserved, derivation } = deriveReservedPorts(frontends, config.nodePortRange);
  stack.use(derivation);
  const reserving = stack.use(
    new Reconciler({
      name: "reserved-ports",
      desired: reserved,
      target: new ReservedPorts(config.runDir, reserved),
      repairIntervalMs,
    }),
  );
  const tunnelling = stack.use(
    new Reconciler({
      name: "dsr-frontends",
      desired: dsrFrontends,
      target: mapTarget(maps.pilus_dsr_frontends),
      repairIntervalMs,
    }),
  );

  const isPodAddress = (ip: Uint8Array) =>
    nodes.rows().some(({ podCidrIpv4, podCidrIpv6 }) =>
      [podCidrIpv4, podCidrIpv6].some((cidr) => cidr && cidrContains(cidr, ip))
    );
  /** Destroys the sockets of backends that are gone. */
  const destroyStaleSockets = () =>
    new StaleSockets({
      frontends,
      before: maps.pilus_socket_revnat.keys().filter(({ backend }) => isPodAddress(backend))
        .flatMap(
          ({ backend, port }) =>
            [6, 17].map((protocol) => ({ address: backend.slice(), port, protocol })),
        ),
      pods: [identified, store.addresses],
      lives: (ip) => names.get(ip) !== undefined,
      namespaces: () => endpoints.rows().map(({ netns }) => netns),
      onError: (error) => log.warn("stale sockets not destroyed", { error: String(error) }),
      onDestroyed(peers, sockets) {
        if (sockets > 0) {
          log.info("stale sockets destroyed", { backends: peers.length, sockets });
        }
      },
    });

  return {
    name: "services",
    frontends,
    addresses,
    hostFrontends,
    reconcilers: [installing, members, ranges, tunnelling, reserving, checking],
    problems: [problems, checkProblems],
    routes: {
      "GET /v1/services": () => serviceViews({ frontends, services, serviceMaps }),
      ...balancerRoutes({
        maps,
        maglevSize,
        endpoints,
        self: () => nodes.get(config.nodeName),
      }),
    },
    maps: balancerMapDisplays(maps, maglevSize, serviceMaps),
    start() {
      stack.use(destroyStaleSockets());
    },
    status: () => ({
      services: new Set(frontends.rows().map(({ namespace, name }) => `${namespace}/${name}`)).size,
      servicesWithoutTable,
    }),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}
