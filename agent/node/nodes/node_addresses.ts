/** The addresses at which this node is reached: those of its manifest and those that its devices have. */

import type { LinkAddress } from "../../../datapath/net/address.ts";
import { equalIp, formatIp, isLinkLocal, isLoopback } from "../../../datapath/net/ip.ts";
import type { ClusterNode } from "../../cluster/rows.ts";
import type { OwnAddress } from "../ipcache/own_addresses.ts";
import { derive } from "../../core/derive.ts";
import { Table } from "../../core/table.ts";

export function nodeAddressTable(): Table<OwnAddress> {
  return new Table({ name: "node-addresses", key: ({ address }) => formatIp(address) });
}

/** Keeps a table of them. The router's address is its pods' gateway and not among them. */
export function deriveNodeAddresses(
  { nodes, addresses }: { nodes: Table<ClusterNode>; addresses: Table<LinkAddress> },
  nodeName: string,
): { nodeAddresses: Table<OwnAddress> } & Disposable {
  const nodeAddresses = nodeAddressTable();
  const derivation = derive([nodes, addresses], () => {
    const self = nodes.get(nodeName);
    const routers = [self?.routerIpv4, self?.routerIpv6];
    const ofDevices = addresses.rows().map(({ cidr }) => cidr.address).filter((address) =>
      !isLoopback(address) && !isLinkLocal(address) &&
      !routers.some((router) => router && equalIp(router, address))
    );
    const all = [...self?.addresses ?? [], ...ofDevices];
    return [...new Map(all.map((address) => [formatIp(address), { address }])).values()];
  }, nodeAddresses);
  return { nodeAddresses, [Symbol.dispose]: () => derivation[Symbol.dispose]() };
}
