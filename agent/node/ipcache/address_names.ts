/** Names of addresses, for people. */

import { formatIp } from "../../../datapath/net/ip.ts";
import { endpointName } from "../../api/endpoint.ts";
import type { ClusterNode, RemoteAddress } from "../../cluster/rows.ts";
import type { Table } from "../../core/table.ts";
import type { IdentifiedEndpoint } from "../identity/endpoint_identities.ts";

/** What {@linkcode AddressNames} reads. */
export interface AddressNameTables {
  nodes: Table<ClusterNode>;
  published: Table<RemoteAddress>;
  identified: Table<IdentifiedEndpoint>;
}

/** Who has an address, as an index that is built anew when a table behind it has changed. */
export class AddressNames {
  readonly #tables: AddressNameTables;
  #revision = -1;
  #names = new Map<string, string>();

  constructor(tables: AddressNameTables) {
    this.#tables = tables;
  }

  /** Changes when names may have changed. */
  get revision(): number {
    const { nodes, published, identified } = this.#tables;
    return nodes.revision + published.revision + identified.revision;
  }

  /** What has an address: `namespace/pod`, a container's name, or the node's. */
  get(ip: string): string | undefined {
    const { revision } = this;
    if (revision !== this.#revision) this.#names = index(this.#tables);
    this.#revision = revision;
    return this.#names.get(ip);
  }
}

function index({ nodes, published, identified }: AddressNameTables): Map<string, string> {
  const names = new Map<string, string>();
  for (const { name, addresses, routerIpv4, routerIpv6 } of nodes.rows()) {
    for (const ip of [...addresses, routerIpv4, routerIpv6]) if (ip) names.set(formatIp(ip), name);
  }
  for (const { prefix, pod } of published.rows()) names.set(prefix, pod);
  for (const { endpoint } of identified.rows()) {
    if (endpoint.pod === "") continue;
    for (const ip of [endpoint.ipv4, endpoint.ipv6]) {
      if (ip) names.set(ip, endpointName(endpoint));
    }
  }
  return names;
}
