/** What each address is: from nodes, endpoints and policies' prefixes to the maps. */

import { formatCidr, formatIp, isLoopback, parseCidr, parseIp } from "../../../datapath/net/ip.ts";
import type { IpcacheView } from "../../api/views.ts";
import type { ClusterNode, RemoteAddress } from "../../cluster/rows.ts";
import { derive } from "../../core/derive.ts";
import { deriveGroups, groupInput, rowsOf } from "../../core/derive_groups.ts";
import { Reconciler } from "../../core/reconciler.ts";
import type { Table } from "../../core/table.ts";
import type { AgentConfig } from "../config.ts";
import type { IdentityPart } from "../identity/identity_part.ts";
import type { Kernel } from "../kernel.ts";
import { mapTarget } from "../map_target.ts";
import type { Part } from "../part.ts";
import type { PolicyPart } from "../policy/policy_part.ts";
import { deriveIpcache } from "./ipcache.ts";
import { isAddress } from "./ipcache_row.ts";
import {
  type AddressRow,
  addressRow,
  cidrMapTable,
  ipcacheMapTable,
  nodeCidrs,
  nodeCidrTable,
  prefixRow,
} from "./ipcache_maps.ts";
import type { OwnAddress } from "./own_addresses.ts";

/** See the module. */
export interface IpcachePart extends Part {
  addresses: Reconciler<AddressRow>;
}

/** The tables of what addresses are, and of the rows of both maps. */
export function deriveAddressRows(
  {
    nodes,
    own,
    published,
    identity: { identified, localAddresses },
    policy: { tables: { cidrs }, apiServers },
    services,
  }: {
    nodes: Table<ClusterNode>;
    own: Table<OwnAddress>;
    published: Table<RemoteAddress>;
    identity: Pick<IdentityPart, "identified" | "localAddresses">;
    policy: { tables: Pick<PolicyPart["tables"], "cidrs"> } & Pick<PolicyPart, "apiServers">;
    /** Addresses with some frontend, as text. */
    services: Table<{ address: Uint8Array<ArrayBuffer> }>;
  },
) {
  const stack = new DisposableStack();
  const { ipcache, problems } = stack.use(
    deriveIpcache({
      nodes,
      own,
      addresses: published,
      local: localAddresses,
      cidrs,
      apiServers,
    }),
  );
  const addressRows = ipcacheMapTable();
  const cidrRows = cidrMapTable();
  const ifindexOf = (id: number) => identified.get(String(id))?.endpoint.hostIfindex;
  stack.use(deriveGroups<AddressRow>({
    inputs: [
      groupInput(ipcache, ({ key }) => isAddress({ prefix: key }) ? [key] : []),
      groupInput(
        identified,
        (change) =>
          [...rowsOf(change)].flatMap(({ endpoint: { ipv4, ipv6 } }) =>
            [ipv4, ipv6].filter((ip) => ip !== undefined).map((ip) => formatIp(parseIp(ip)))
          ),
      ),
      groupInput(services, (change) => [change.key]),
    ],
    output: addressRows,
    compute(text) {
      const service = services.get(text);
      const row = ipcache.get(text);
      // a node's loopback and a reserved port are no addresses of the network
      const known = service && !isLoopback(service.address);
      return { rows: row || known ? [addressRow(text, row, !!known, ifindexOf)] : [] };
    },
  }));
  stack.use(deriveGroups({
    inputs: [groupInput(ipcache, ({ key }) => isAddress({ prefix: key }) ? [] : [key])],
    output: cidrRows,
    compute(prefix) {
      const row = ipcache.get(prefix);
      return { rows: row ? [prefixRow(row)] : [] };
    },
  }));
  const nodeCidrRows = nodeCidrTable();
  stack.use(derive([nodes], () => nodes.rows().flatMap(nodeCidrs), nodeCidrRows));
  return {
    ipcache,
    problems,
    addressRows,
    cidrRows,
    nodeCidrRows,
    [Symbol.dispose]: () => stack.dispose(),
  };
}

/** Wires the ipcache to its maps. */
export function ipcachePart(
  { config, kernel: { maps }, policy, ...inputs }:
    & { config: AgentConfig; kernel: Kernel; policy: PolicyPart }
    & Parameters<typeof deriveAddressRows>[0],
): IpcachePart {
  const stack = new AsyncDisposableStack();
  const { ipcache, problems, addressRows, cidrRows, nodeCidrRows } = stack.use(
    deriveAddressRows({ policy, ...inputs }),
  );
  const repairIntervalMs = config.repairInterval * 1000;
  const addresses = stack.use(
    new Reconciler({
      name: "ipcache",
      desired: addressRows,
      target: mapTarget(maps.pilus_ipcache),
      repairIntervalMs,
    }),
  );
  const cidrs = stack.use(
    new Reconciler({
      name: "cidrs",
      desired: cidrRows,
      target: mapTarget(maps.pilus_cidrs),
      repairIntervalMs,
    }),
  );
  const ofNodes = stack.use(
    new Reconciler({
      name: "node-cidrs",
      desired: nodeCidrRows,
      target: mapTarget(maps.pilus_node_cidrs),
      repairIntervalMs,
    }),
  );
  const view = (): IpcacheView[] =>
    ipcache.rows().map((row) => ({
      // a policy's prefix, even of one address, is shown as one
      prefix: isAddress(row) && (row.kind === "cidr" || row.kind === "vacant")
        ? formatCidr(parseCidr(row.prefix))
        : row.prefix,
      identity: row.identity,
      kind: row.kind,
      ...(row.tunnel ? { tunnel: formatIp(row.tunnel) } : {}),
    }));
  return {
    name: "ipcache",
    addresses,
    reconcilers: [addresses, cidrs, ofNodes],
    problems: [problems],
    routes: { "GET /v1/ipcache": view },
    start() {
      // an address that changes hands: what was allowed to the one before is not to the next
      stack.use(ipcache.watch((changes) => {
        const other = changes.some((change) =>
          change.kind === "updated" && change.row.identity !== change.previous.identity
        );
        if (other) policy.installer.rejudge();
      }));
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}
