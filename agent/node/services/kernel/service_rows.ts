/** What the kernel's maps say of frontends, derived row by row. */

import {
  BackendFlags,
  type Service,
  ServiceFlags,
  type ServiceKey,
  type SourceRangeKey,
  type TunnelledKey,
} from "../../../../datapath/maps/generated.ts";
import {
  cidrContains,
  equalIp,
  formatIp,
  isIpv4,
  isLoopback,
  parseCidr,
  tryParseCidr,
  tryParseIp,
} from "../../../../datapath/net/ip.ts";
import type { RoutingMode } from "../../../../datapath/loader.ts";
import type { ClusterNode } from "../../nodes/nodes.ts";
import { deriveGroups, groupInput } from "../../../core/derive_groups.ts";
import { type MapRow, mapTable } from "../../map_target.ts";
import { type Change, Table } from "../../../core/table.ts";
import { type Chosen, type FrontendBackend, unpackBackends } from "../backends.ts";
import { type Frontend, frontendKey, isExternal } from "../frontends.ts";
import { type BackendSet, backendSet } from "./backend_set.ts";
import { type ServiceRow, serviceTable } from "./service_maps.ts";
import { PROTOCOLS, serviceKey, ServiceNumbers } from "./service_numbers.ts";

/** Bits of struct source_range_key before the address. */
const RANGE_HEAD_BITS = 32;

export interface ServiceRowOptions {
  routing: RoutingMode;
  /** Where pods' addresses come from. */
  clusterCidrs: readonly string[];
  /** Rows that an agent before has left: their numbers are kept. */
  adopted: Iterable<[ServiceKey, Service]>;
}

/** Tables that follow the frontends. Dispose of it to stop that. */
export interface ServiceRowTables extends Disposable {
  services: Table<ServiceRow>;
  numbers: ServiceNumbers;
  sourceRanges: Table<MapRow<SourceRangeKey, number>>;
  tunnelled: Table<MapRow<TunnelledKey, number>>;
  /** Addresses with some frontend, as text. */
  addresses: Table<{ address: Uint8Array<ArrayBuffer> }>;
  /** Keys of frontends that this node itself answers. */
  hostFrontends: Table<string>;
}

export function deriveServiceRows(
  { frontends, nodes }: { frontends: Table<Frontend>; nodes: Table<ClusterNode> },
  { routing, clusterCidrs, adopted }: ServiceRowOptions,
): ServiceRowTables {
  const stack = new DisposableStack();
  const numbers = new ServiceNumbers(() => frontends.rows());
  numbers.adopt(adopted);
  const cidrs = clusterCidrs.map(parseCidr);
  const sets = new WeakMap<Chosen, BackendSet>();
  const flagsOf = ({ address, local }: FrontendBackend) => {
    if (local) return BackendFlags.LOCAL;
    const pod = cidrs.some((cidr) => cidrContains(cidr, address));
    return pod && routing === "vxlan" ? BackendFlags.TUNNEL : 0;
  };
  const setOf = (chosen: Chosen): BackendSet => {
    let set = sets.get(chosen);
    if (!set) {
      const rows = unpackBackends(chosen.backends).map((backend) => ({
        address: backend.address,
        port: backend.port,
        weight: backend.weight,
        flags: flagsOf(backend),
      }));
      sets.set(chosen, set = backendSet(rows, chosen.count));
    }
    return set;
  };

  const services = serviceTable();
  stack.use(deriveGroups<ServiceRow>({
    inputs: [groupInput(frontends, (change) => [change.key])],
    output: services,
    compute(key) {
      const frontend = frontends.get(key);
      if (!frontend) return { rows: [] };
      const external = isExternal(frontend);
      let flags = external ? ServiceFlags.EXTERNAL : 0;
      if (frontend.sourceRanges) flags |= ServiceFlags.SOURCE_RANGES;
      if (frontend.forwarding === "ipip") flags |= ServiceFlags.DSR_IPIP;
      if (frontend.forwarding === "option") flags |= ServiceFlags.DSR_OPTION;
      return {
        rows: [{
          key: serviceKey(frontend),
          id: numbers.of(frontend),
          flags,
          affinityS: frontend.affinityS,
          maglev: external && frontend.algorithm === "maglev",
          sides: [setOf(frontend.inside), setOf(frontend.outside)],
        }],
      };
    },
  }));

  const sourceRanges = mapTable<SourceRangeKey, number>(
    "source-ranges",
    ({ service, prefixLength, address }) => `${service}|${formatIp(address)}|${prefixLength}`,
  );
  stack.use(deriveGroups<MapRow<SourceRangeKey, number>>({
    inputs: [groupInput(frontends, (change) => [change.key])],
    output: sourceRanges,
    compute(key) {
      const frontend = frontends.get(key);
      const ranges = frontend?.sourceRanges ?? [];
      return {
        rows: ranges.flatMap((text) => {
          const address = tryParseIp(text);
          const cidr = address ? { address, prefixLength: 128 } : tryParseCidr(text);
          if (!cidr || isIpv4(cidr.address) !== isIpv4(frontend!.address)) return [];
          return [{
            key: {
              prefixLength: RANGE_HEAD_BITS + cidr.prefixLength,
              service: numbers.of(frontend!),
              address: cidr.address,
            },
            value: 1,
          }];
        }),
      };
    },
  }));

  const tunnelled = mapTable<TunnelledKey, number>(
    "tunnelled",
    ({ frontend, backend, port, protocol }) =>
      `${formatIp(frontend)}|${port}|${protocol}|${formatIp(backend)}`,
  );
  stack.use(deriveGroups<MapRow<TunnelledKey, number>>({
    inputs: [
      groupInput(frontends, (change) => [change.key]),
      groupInput(
        nodes,
        () => frontends.rows().filter(({ kind }) => kind === "NodePort").map(frontendKey),
      ),
    ],
    output: tunnelled,
    compute(key) {
      const frontend = frontends.get(key);
      if (!frontend || frontend.forwarding === "snat" || isLoopback(frontend.address)) {
        return { rows: [] };
      }
      // the port of any node may have led to a backend here
      const addresses = frontend.kind === "NodePort"
        ? nodes.rows().flatMap(({ addresses }) => addresses)
          .filter((ip) => isIpv4(ip) === isIpv4(frontend.address))
        : [frontend.address];
      return {
        rows: unpackBackends(frontend.backends).filter(({ local }) => local).flatMap((
          { address, port },
        ) =>
          addresses.map((asked) => ({
            key: {
              frontend: asked,
              backend: address,
              port: frontend.port,
              protocol: PROTOCOLS[frontend.protocol],
            },
            // the first two bytes in network order
            value: (port & 0xff) << 8 | port >> 8,
          }))
        ),
      };
    },
  }));

  /** How many frontends an address has. */
  const uses = new Map<string, { address: Uint8Array<ArrayBuffer>; count: number }>();
  const addresses = new Table<{ address: Uint8Array<ArrayBuffer> }>({
    name: "service-addresses",
    key: ({ address }) => formatIp(address),
  });
  stack.use(deriveGroups<{ address: Uint8Array<ArrayBuffer> }>({
    inputs: [groupInput(frontends, (change: Change<Frontend>) => {
      if (change.kind === "updated") return [];
      const { address } = change.kind === "deleted" ? change.previous : change.row;
      const text = formatIp(address);
      const use = uses.get(text) ?? { address, count: 0 };
      use.count += change.kind === "added" ? 1 : -1;
      if (use.count > 0) uses.set(text, use);
      else uses.delete(text);
      return [text];
    })],
    output: addresses,
    compute(text) {
      const use = uses.get(text);
      return { rows: use ? [{ address: use.address }] : [] };
    },
  }));

  const hostFrontends = new Table<string>({ name: "host-frontends", key: (key) => key });
  const own = () => nodes.rows().find(({ local }) => local)?.addresses ?? [];
  stack.use(deriveGroups<string>({
    inputs: [
      groupInput(frontends, (change) => [change.key]),
      groupInput(nodes, () => frontends.rows().map(frontendKey)),
    ],
    output: hostFrontends,
    compute(key) {
      const addresses = own();
      const backends = frontends.get(key)?.backends;
      const answered = backends &&
        unpackBackends(backends).some(({ address, local }) =>
          local && addresses.some((ip) => equalIp(ip, address))
        );
      return { rows: answered ? [key] : [] };
    },
  }));

  return {
    services,
    numbers,
    sourceRanges,
    tunnelled,
    addresses,
    hostFrontends,
    [Symbol.dispose]: () => stack.dispose(),
  };
}
