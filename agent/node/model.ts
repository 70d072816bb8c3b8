/** What the agent knows and wants: every table and derivation, and nothing of the kernel. */

import type { Node as KernelNode, Service, ServiceKey } from "../../datapath/maps/generated.ts";
import { formatCidr, formatIp, isLoopback, parseIp } from "../../datapath/net/ip.ts";
import { type Endpoint, endpointKey } from "../api/endpoint.ts";
import { endpointMapRow, endpointMapTable, namespaceMapTable } from "./endpoints/endpoint_map.ts";
import { identifiedTable } from "./identity/endpoint_identities.ts";
import { formatLabels } from "../cluster/labels.ts";
import { deriveIpcache, isAddress, localAddressTable } from "./ipcache/ipcache.ts";
import {
  type AddressRow,
  addressRow,
  cidrMapTable,
  ipcacheMapTable,
  prefixRows,
} from "./ipcache/ipcache_maps.ts";
import { type ClusterNode, deriveNodes } from "./nodes/nodes.ts";
import { type NodeRoute, routeTable } from "./nodes/route_target.ts";
import { Cookies } from "./policy/cookies.ts";
import { derivePolicies, localSubjectTable } from "./policy/derive.ts";
import { assignmentTable } from "./policy/installer.ts";
import { policyTable } from "./policy/policy_maps.ts";
import type { CiliumEndpoint } from "../kubernetes/resources.ts";
import { deriveFrontends, type FrontendOptions } from "./services/frontends.ts";
import { deriveServiceRows, type ServiceRowOptions } from "./services/kernel/service_rows.ts";
import { deniedTable } from "./prefilter/prefilter_file.ts";
import { derive } from "../core/derive.ts";
import { deriveGroups, groupInput, rowsOf } from "../core/derive_groups.ts";
import { type MapRow, mapTable } from "./map_target.ts";
import { problemTable } from "../core/problem.ts";
import { createResourceTables } from "../kubernetes/resource_tables.ts";
import { Table } from "../core/table.ts";

/** What is known of the node only when it has been looked at. */
export interface NodeSetting {
  self: ClusterNode;
  /** ifindex of the tunnel device; 0: native routing. */
  tunnel: number;
  /** ifindex of the device towards the other nodes. */
  device: number;
  /** Of the way to pods of other nodes, in bytes. */
  mtu: number;
  /** What an agent before has left of services: their numbers are kept. */
  services: Iterable<[ServiceKey, Service]>;
}

/** What is fixed when the agent starts. */
export type ModelOptions = FrontendOptions & Omit<ServiceRowOptions, "adopted">;

/** Sources fill `tables` and `endpoints`; everything else follows. */
export class Model implements Disposable {
  readonly nodeName: string;
  readonly tables = createResourceTables();
  readonly cookies = new Cookies();
  readonly identified = identifiedTable();
  readonly assignments = assignmentTable();
  readonly policies = policyTable();
  readonly endpoints = new Table<Endpoint>({ name: "local-endpoints", key: endpointKey });
  readonly subjects = localSubjectTable();
  readonly localAddresses = localAddressTable();
  readonly prefilter = deniedTable();
  readonly prefilterProblems = problemTable("prefilter-problems");
  readonly nodeRows = mapTable<number, KernelNode>("node", String);
  readonly nodeTables: ReturnType<typeof deriveNodes>;
  readonly policyTables: ReturnType<typeof derivePolicies>;
  readonly frontendTables: ReturnType<typeof deriveFrontends>;
  /** From `settle` on. */
  serviceTables!: ReturnType<typeof deriveServiceRows>;
  readonly #options: ModelOptions;
  readonly ipcacheTables: ReturnType<typeof deriveIpcache>;
  readonly endpointRows = endpointMapTable();
  readonly namespaceRows = namespaceMapTable();
  readonly addressRows = ipcacheMapTable();
  readonly cidrRows = cidrMapTable();
  readonly routes = routeTable();
  readonly published = new Table<CiliumEndpoint>({
    name: "published-endpoints",
    key: ({ metadata }) => `${metadata.namespace}/${metadata.name}`,
  });
  readonly #stack = new DisposableStack();

  constructor(options: ModelOptions) {
    const { nodeName } = options;
    this.nodeName = nodeName;
    this.#options = options;
    this.#deriveLocal();
    this.nodeTables = this.#stack.use(deriveNodes(this.tables.Node, nodeName));
    this.policyTables = this.#stack.use(derivePolicies({
      ...this.tables,
      subjects: this.subjects,
      cookies: this.cookies,
    }));
    this.frontendTables = this.#stack.use(
      deriveFrontends(
        {
          ...this.tables,
          nodes: this.nodeTables.nodes,
          localAddresses: this.localAddresses,
        },
        options,
      ),
    );
    this.ipcacheTables = this.#stack.use(deriveIpcache({
      nodes: this.nodeTables.nodes,
      endpoints: this.tables.CiliumEndpoint,
      local: this.localAddresses,
      cidrs: this.policyTables.cidrs,
    }));
  }

  /** The node itself; undefined when its manifest has gone. */
  get self(): ClusterNode | undefined {
    return this.nodeTables.nodes.get(this.nodeName);
  }

  /** Derives what needs the node's setting: rows of maps, routes, and what is published. Once. */
  settle(setting: NodeSetting): void {
    this.serviceTables = this.#stack.use(
      deriveServiceRows(
        { frontends: this.frontendTables.frontends, nodes: this.nodeTables.nodes },
        { ...this.#options, adopted: setting.services },
      ),
    );
    this.#derivePublished(setting.self);
    this.#deriveRows();
    this.#derive(
      [this.nodeTables.nodes],
      () => this.nodeTables.nodes.rows().flatMap((node) => routesTo(node, setting)),
      this.routes,
    );
  }

  /** What the endpoints of this node are to policies and to the ipcache. */
  #deriveLocal(): void {
    const { identified } = this;
    this.#derive(
      [identified],
      () =>
        identified.rows().map(({ endpoint, labels, namedPorts }) => ({
          id: endpoint.id,
          labels,
          namedPorts,
        })),
      this.subjects,
    );
    this.#derive(
      [identified],
      () =>
        identified.rows().map(({ endpoint, identity }) => ({
          id: endpoint.id,
          pod: `${endpoint.namespace}/${endpoint.pod}`,
          identity,
          addresses: [endpoint.ipv4, endpoint.ipv6].filter((ip) => ip !== undefined).map(parseIp),
        })),
      this.localAddresses,
    );
  }

  /** What the endpoints of this node are to other nodes. */
  #derivePublished(self: ClusterNode): void {
    const { identified } = this;
    const node = formatIp((self.ipv4 ?? self.ipv6)!);
    this.#derive(
      [identified],
      () =>
        identified.rows().filter(({ endpoint }) => endpoint.pod !== "").map((
          row,
        ): CiliumEndpoint => ({
          kind: "CiliumEndpoint",
          metadata: {
            name: row.endpoint.pod,
            namespace: row.endpoint.namespace,
            labels: this.tables.Pod.get(`${row.endpoint.namespace}/${row.endpoint.pod}`)?.metadata
              .labels ?? {},
          },
          status: {
            id: row.endpoint.id,
            identity: { id: row.identity, labels: formatLabels(row.labels) },
            networking: {
              addressing: [{
                ...(row.endpoint.ipv4 ? { ipv4: row.endpoint.ipv4 } : {}),
                ...(row.endpoint.ipv6 ? { ipv6: row.endpoint.ipv6 } : {}),
              }],
              node,
            },
            state: "ready",
            "named-ports": row.namedPorts,
            "service-account": row.serviceAccount,
          },
        })),
      this.published,
    );
  }

  /** The rows of maps. */
  #deriveRows(): void {
    const { identified, assignments } = this;
    const { ipcache } = this.ipcacheTables;
    const ifindexOf = (id: number) => identified.get(String(id))?.endpoint.hostIfindex;
    this.#derive(
      [identified, assignments],
      () =>
        identified.rows().map((row) =>
          endpointMapRow(row, assignments.get(String(row.endpoint.id)))
        ),
      this.endpointRows,
    );
    this.#derive(
      [identified],
      () =>
        identified.rows().map(({ endpoint: { netnsCookie, hostIfindex } }) => ({
          key: BigInt(netnsCookie),
          value: hostIfindex,
        })),
      this.namespaceRows,
    );
    const { addresses } = this.serviceTables;
    this.#stack.use(deriveGroups<AddressRow>({
      inputs: [
        groupInput(ipcache, (change) => rowsOf(change).every(isAddress) ? [change.key] : []),
        groupInput(
          identified,
          (change) =>
            [...rowsOf(change)].flatMap(({ endpoint: { ipv4, ipv6 } }) =>
              [ipv4, ipv6].filter((ip) => ip !== undefined).map((ip) => formatIp(parseIp(ip)))
            ),
        ),
        groupInput(addresses, (change) => [change.key]),
      ],
      output: this.addressRows,
      compute(text) {
        const service = addresses.get(text);
        const row = ipcache.get(text);
        // a node's loopback and a reserved port are no addresses of the network
        const known = service && !isLoopback(service.address);
        return { rows: row || known ? [addressRow(text, row, !!known, ifindexOf)] : [] };
      },
    }));
    this.#derive([ipcache], () => prefixRows(ipcache.rows()), this.cidrRows);
    this.#derive(
      [this.nodeTables.nodes, this.serviceTables.hostFrontends, this.prefilter],
      () => this.#nodeRow(),
      this.nodeRows,
    );
  }

  #nodeRow(): MapRow<number, KernelNode>[] {
    const { self } = this;
    if (!self) return [];
    const none = new Uint8Array(16);
    return [{
      key: 0,
      value: {
        ipv4: self.ipv4 ?? none,
        ipv6: self.ipv6 ?? none,
        routerIpv4: self.routerIpv4 ?? none,
        routerIpv6: self.routerIpv6 ?? none,
        denied: this.prefilter.size,
        hostBackends: this.serviceTables.hostFrontends.size > 0 ? 1 : 0,
      },
    }];
  }

  #derive<Row>(
    inputs: Parameters<typeof derive>[0],
    compute: () => Iterable<Row>,
    output: Table<Row>,
  ): void {
    this.#stack.use(derive(inputs, compute, output));
  }

  /** `namespace/pod` that has an address, or the node's name. */
  podOf(ip: string): string | undefined {
    return this.#owners().get(ip);
  }

  #ownersAt = -1;
  #ownersByIp = new Map<string, string>();

  /** Built anew when a table behind it has changed. */
  #owners(): Map<string, string> {
    const revision = this.tables.CiliumEndpoint.revision + this.identified.revision +
      this.nodeTables.nodes.revision;
    if (revision === this.#ownersAt) return this.#ownersByIp;
    const owners = new Map<string, string>();
    for (const { name, addresses, routerIpv4, routerIpv6 } of this.nodeTables.nodes.rows()) {
      for (const ip of [...addresses, routerIpv4, routerIpv6]) {
        if (ip) owners.set(formatIp(ip), name);
      }
    }
    for (const { metadata, status } of this.tables.CiliumEndpoint.rows()) {
      for (const { ipv4, ipv6 } of status.networking.addressing) {
        for (const ip of [ipv4, ipv6]) {
          if (ip) owners.set(ip, `${metadata.namespace}/${metadata.name}`);
        }
      }
    }
    for (const { endpoint } of this.identified.rows()) {
      if (endpoint.pod === "") continue;
      for (const ip of [endpoint.ipv4, endpoint.ipv6]) {
        if (ip) owners.set(ip, `${endpoint.namespace}/${endpoint.pod}`);
      }
    }
    this.#ownersAt = revision;
    return this.#ownersByIp = owners;
  }

  [Symbol.dispose](): void {
    this.#stack.dispose();
  }
}

/** The routes to another node's pods: through the tunnel, or by the node itself. */
function routesTo(node: ClusterNode, { self, tunnel, device, mtu }: NodeSetting): NodeRoute[] {
  if (node.local) return [];
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
        mtu,
        ...(source ? { source: formatIp(source) } : {}),
      });
      continue;
    }
    const via = family === "Ipv4" ? node.ipv4 : node.ipv6;
    const source = family === "Ipv4" ? self.ipv4 : self.ipv6;
    if (!via) continue;
    routes.push({
      destination,
      ifindex: device,
      via: formatIp(via),
      ...(source ? { source: formatIp(source) } : {}),
    });
  }
  return routes;
}
