/** Where the API server is: the addresses of the entity kube-apiserver. */

import { formatIp, parseIp, tryParseIp } from "../../../datapath/net/ip.ts";
import type { ClusterNode } from "../../cluster/rows.ts";
import { derive } from "../../core/derive.ts";
import { Table } from "../../core/table.ts";
import type { EndpointSlice } from "../../kubernetes/resources.ts";
import { unpackEndpoints } from "../../kubernetes/slice_endpoints.ts";
import type { OwnAddress } from "../ipcache/own_addresses.ts";

/** An address of the API server, or of a node with one: what it sends may have any of the node's. */
export interface ApiServer {
  /** As text. */
  address: string;
  /** Whose it is: this node's, another's, or somebody's outside. */
  at: "host" | "node" | "world";
}

/** A table of them. */
export function apiServerTable(): Table<ApiServer> {
  return new Table<ApiServer>({ name: "api-servers", key: ({ address }) => address });
}

/** What {@linkcode deriveApiServers} reads. */
export interface ApiServerInputs {
  slices: Table<EndpointSlice>;
  nodes: Table<ClusterNode>;
  own: Table<OwnAddress>;
  /** Addresses that are known otherwise. */
  given: readonly string[];
}

/** The service that the API server keeps of itself. */
function isOfApiServer({ metadata: { namespace, labels } }: EndpointSlice): boolean {
  return namespace === "default" && labels["kubernetes.io/service-name"] === "kubernetes";
}

function addressesOf({ addresses, routerIpv4, routerIpv6 }: ClusterNode): string[] {
  return [...addresses, routerIpv4, routerIpv6].filter((ip) => ip !== undefined).map(formatIp);
}

/** Keeps a table of them. */
export function deriveApiServers(
  { slices, nodes, own, given }: ApiServerInputs,
): { apiServers: Table<ApiServer> } & Disposable {
  const apiServers = apiServerTable();
  const compute = () => {
    const ofSlices = slices.rows().filter(isOfApiServer)
      .flatMap(({ endpoints }) => endpoints ? unpackEndpoints(endpoints) : [])
      .flatMap(({ addresses }) => addresses)
      .map(tryParseIp).filter((ip) => ip !== undefined);
    const rows = new Map<string, ApiServer>();
    for (const address of [...given.map(parseIp), ...ofSlices].map(formatIp)) {
      rows.set(address, { address, at: own.has(address) ? "host" : "world" });
    }
    for (const node of nodes.rows()) {
      const addresses = addressesOf(node);
      if (!addresses.some((address) => rows.has(address))) continue;
      const at = node.local ? "host" : "node";
      for (const address of addresses) rows.set(address, { address, at });
    }
    return rows.values();
  };
  const derivation = derive([slices, nodes, own], compute, apiServers);
  return { apiServers, [Symbol.dispose]: () => derivation[Symbol.dispose]() };
}
