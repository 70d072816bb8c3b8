/** The tables of kernel rows that follow the frontends. */

import {
  BackendFlags,
  type DsrFrontendKey,
  type Service,
  ServiceFlags,
  type ServiceKey,
  type SourceRangeKey,
} from "../../../../datapath/maps/generated.ts";
import { cidrContains, parseCidr } from "../../../../datapath/net/ip.ts";
import type { RoutingMode } from "../../../../datapath/loader.ts";
import { deriveGroups, groupInput } from "../../../core/derive_groups.ts";
import type { Table } from "../../../core/table.ts";
import type { MapRow } from "../../map_target.ts";
import type { ClusterNode } from "../../../cluster/rows.ts";
import type { Backend } from "../backend.ts";
import { type Choice, chosenBackends } from "../backend_choice.ts";
import { type Frontend, isExternal } from "../frontend.ts";
import { type BackendSet, backendSet } from "./backend_set.ts";
import { deriveDsrFrontends } from "./dsr_frontends.ts";
import { deriveHostFrontends } from "./host_frontends.ts";
import { deriveServiceAddresses, type ServiceAddress } from "./service_addresses.ts";
import { ServiceNumbers } from "./service_numbers.ts";
import { serviceKey, type ServiceRow, serviceTable } from "./service_row.ts";
import { deriveSourceRanges } from "./source_ranges.ts";

export interface ServiceRowOptions {
  routing: RoutingMode;
  /** Where pods' addresses come from. */
  clusterCidrs: readonly string[];
  /** Rows that an earlier agent has left: their numbers are kept. */
  adopted: Iterable<[ServiceKey, Service]>;
}

/** Tables that follow the frontends. Dispose of it to stop that. */
export interface ServiceRowTables extends Disposable {
  services: Table<ServiceRow>;
  numbers: ServiceNumbers;
  sourceRanges: Table<MapRow<SourceRangeKey, number>>;
  dsrFrontends: Table<MapRow<DsrFrontendKey, number>>;
  /** Addresses with some frontend. */
  addresses: Table<ServiceAddress>;
  /** Keys of frontends that have a backend at an address of this node. */
  hostFrontends: Table<string>;
}

export function deriveServiceRows(
  { frontends, nodes }: { frontends: Table<Frontend>; nodes: Table<ClusterNode> },
  options: ServiceRowOptions,
): ServiceRowTables {
  const numbers = new ServiceNumbers(() => frontends.rows());
  numbers.adopt(options.adopted);
  const services = serviceTable();
  const stack = new DisposableStack();
  const setOf = setMaker(options);
  stack.use(deriveGroups<ServiceRow>({
    inputs: [groupInput(frontends, (change) => [change.key])],
    output: services,
    compute(key) {
      const frontend = frontends.get(key);
      if (!frontend) return { rows: [] };
      return {
        rows: [{
          key: serviceKey(frontend),
          id: numbers.of(frontend),
          flags: flagsOf(frontend),
          affinityS: frontend.affinityS,
          maglev: isExternal(frontend) && frontend.algorithm === "maglev",
          sides: [setOf(frontend, frontend.internal), setOf(frontend, frontend.external)],
        }],
      };
    },
  }));
  return {
    services,
    numbers,
    sourceRanges: stack.use(deriveSourceRanges(frontends, numbers)).table,
    dsrFrontends: stack.use(deriveDsrFrontends(frontends, nodes)).table,
    addresses: stack.use(deriveServiceAddresses(frontends)).table,
    hostFrontends: stack.use(deriveHostFrontends(frontends, nodes)).table,
    [Symbol.dispose]: () => stack.dispose(),
  };
}

function flagsOf(frontend: Frontend): number {
  let flags = isExternal(frontend) ? ServiceFlags.EXTERNAL : 0;
  if (frontend.kind === "NodePort") flags |= ServiceFlags.NODE_PORT;
  if (frontend.sourceRanges) flags |= ServiceFlags.SOURCE_RANGES;
  if (frontend.forwarding === "ipip") flags |= ServiceFlags.DSR_IPIP;
  if (frontend.forwarding === "option") flags |= ServiceFlags.DSR_OPTION;
  return flags;
}

/** Makes sets of choices. Frontends of a port share their choices, and so their sets. */
function setMaker({ routing, clusterCidrs }: ServiceRowOptions) {
  const cidrs = clusterCidrs.map(parseCidr);
  const sets = new WeakMap<Choice, BackendSet>();
  const flagsOf = ({ address, local }: Backend) => {
    if (local) return BackendFlags.LOCAL;
    const pod = cidrs.some((cidr) => cidrContains(cidr, address));
    return pod && routing === "vxlan" ? BackendFlags.TUNNEL : 0;
  };
  return ({ backends }: Frontend, choice: Choice): BackendSet => {
    let set = sets.get(choice);
    if (!set) {
      const rows = chosenBackends(backends, choice).map((backend) => ({
        address: backend.address,
        port: backend.port,
        weight: backend.weight,
        flags: flagsOf(backend),
      }));
      sets.set(choice, set = backendSet(rows, choice.count));
    }
    return set;
  };
}
