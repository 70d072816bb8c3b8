/** Tables of a node with the frontends that are derived from them, and what goes into them. */

import { formatIp, parseCidr, parseIp } from "../../../../datapath/net/ip.ts";
import { nodeAddressTable } from "../../nodes/node_addresses.ts";
import { localAddressTable } from "../../ipcache/ipcache.ts";
import { remoteAddressTable } from "../../../cluster/cluster_store.ts";
import type { ClusterNode, RemoteAddress } from "../../../cluster/rows.ts";
import type { EndpointSlice, Service, SliceEndpoint } from "../../../kubernetes/resources.ts";
import { createResourceTables } from "../../../kubernetes/resource_tables.ts";
import { Table } from "../../../core/table.ts";
import { unpackBackends } from "../backend.ts";
import { type Choice, chosenBackends } from "../backend_choice.ts";
import type { Frontend } from "../frontend.ts";
import { packEndpoints } from "../../../kubernetes/slice_endpoints.ts";
import { deriveFrontends, type FrontendOptions } from "../frontends.ts";

export const NODE: ClusterNode = {
  name: "node-a",
  local: true,
  addresses: ["192.168.60.1", "fd00:60::1"].map(parseIp),
  podCidrIpv4: parseCidr("10.60.1.0/24"),
  podCidrIpv6: parseCidr("fd60:1::/64"),
};

/** Tables of a node with what is derived from them. */
export function derived(options: Partial<FrontendOptions> = {}) {
  const tables = createResourceTables();
  const nodes = new Table<ClusterNode>({ name: "nodes", key: ({ name }) => name });
  nodes.set(NODE);
  const localAddresses = localAddressTable();
  const addresses = remoteAddressTable();
  const nodeAddresses = nodeAddressTable();
  nodeAddresses.replace(NODE.addresses.map((address) => ({ address })));
  const inputs = { addresses, nodes, nodeAddresses, localAddresses };
  const services = deriveFrontends({ ...tables, ...inputs }, {
    nodeName: "node-a",
    routing: "native",
    balancing: { mode: "snat", dispatch: "ipip", algorithm: "maglev" },
    nodePortRange: [30000, 32767],
    ...options,
  });
  const named = (name: string) => services.frontends.rows().filter((row) => row.name === name);
  const problems = () =>
    [services.problems, services.checkProblems].flatMap((table) => table.rows())
      .map(({ source, message }) => `${source}: ${message}`).sort();
  return { ...tables, ...inputs, services, named, problems };
}

export function service(
  name: string,
  spec: Partial<Service["spec"]>,
  more: Partial<Service> = {},
): Service {
  return {
    kind: "Service",
    metadata: { name, namespace: "demo", labels: {} },
    spec: { clusterIP: "10.96.0.80", ports: [{ port: 80 }], ...spec },
    ...more,
  };
}

export function published(name: string, ip: number, app = "web"): RemoteAddress[] {
  return [`10.60.1.${ip}`, `fd60:1::${ip}`].map((prefix) => ({
    prefix,
    identity: 300,
    node: "192.168.60.1",
    key: 0,
    cluster: "default",
    pod: `demo/${name}`,
    labels: { app },
    namedPorts: [{ name: "http", port: 8080, protocol: "TCP" }],
    ready: true,
  }));
}

/** One on this node, one on another in the same zone, one in another zone. */
export function slice(
  endpoints: SliceEndpoint[] = [
    { addresses: ["10.60.1.5"], nodeName: "node-a", zone: "one" },
    { addresses: ["10.60.2.5"], nodeName: "node-b", zone: "one" },
    { addresses: ["10.60.3.5"], nodeName: "node-c", zone: "two" },
  ],
): EndpointSlice {
  return {
    kind: "EndpointSlice",
    metadata: {
      name: "web-1",
      namespace: "demo",
      labels: { "kubernetes.io/service-name": "web" },
    },
    addressType: "IPv4",
    ports: [{ name: "", port: 8080 }],
    endpoints: packEndpoints(endpoints),
  };
}

export const chosen = ({ backends }: Pick<Frontend, "backends">, choice: Choice) =>
  chosenBackends(backends, choice).slice(0, choice.count)
    .map(({ address }) => formatIp(address).split(".").slice(2).join("."));

export function shown(rows: readonly Frontend[]): string[] {
  return rows.map(({ kind, address, port, protocol, backends }) =>
    `${kind} ${formatIp(address)} ${port}/${protocol}: ` +
    unpackBackends(backends).map((b) => `${formatIp(b.address)} ${b.port} ${b.state}`).join(", ")
  ).sort();
}
