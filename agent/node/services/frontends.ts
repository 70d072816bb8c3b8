/** The frontends of all services and host ports, computed again where something changes. */

import { formatIp } from "../../../datapath/net/ip.ts";
import { deriveGroups, groupInput, rowsOf } from "../../core/derive_groups.ts";
import { type Problem, problemTable } from "../../core/problem.ts";
import { Table } from "../../core/table.ts";
import type { ResourceTables } from "../../kubernetes/resource_tables.ts";
import { containerPortsOf } from "../../kubernetes/pods_and_nodes.ts";
import { type Pod, resourceKey } from "../../kubernetes/resources.ts";
import type { LocalAddress } from "../ipcache/ipcache.ts";
import type { ClusterNode, RemoteAddress } from "../../cluster/rows.ts";
import type { OwnAddress } from "../ipcache/own_addresses.ts";
import { type Frontend, frontendKey } from "./frontend.ts";
import { FrontendBuilder, type FrontendOptions } from "./frontend_builder.ts";
import { deriveHealthChecks } from "./health_check_rows.ts";
import type { HealthCheck } from "./health_checks.ts";
import { ServiceIndex } from "./service_index.ts";

export type { FrontendOptions } from "./frontend_builder.ts";

/** Tables that follow the services. Dispose of it to stop that. */
export interface FrontendTables extends Disposable {
  frontends: Table<Frontend>;
  problems: Table<Problem>;
  checkProblems: Table<Problem>;
  healthChecks: Table<HealthCheck>;
}

export type FrontendInputs =
  & Pick<ResourceTables, "Service" | "EndpointSlice" | "Pod" | "Node">
  & {
    addresses: Table<RemoteAddress>;
    nodes: Table<ClusterNode>;
    /** Of this node. */
    nodeAddresses: Table<OwnAddress>;
    localAddresses: Table<LocalAddress>;
  };

/** Groups are called as their services; those of pods have a prefix that no namespace has. */
const POD_PREFIX = "pod:";

function hasHostPorts(pod: Pod): boolean {
  return containerPortsOf(pod).some(({ hostPort }) => hostPort);
}

/** How messages name who has a frontend. */
const ownerName = ({ kind, namespace, name }: Frontend) =>
  `${kind === "HostPort" ? "Pod" : "Service"} ${namespace}/${name}`;

/**
 * Wires the derivation of frontends. A service without EndpointSlices gets the pods that it selects.
 * Of two that claim one frontend the elder has it, on every node and whatever came first: who has no
 * creationTimestamp is the youngest, and of the same age names decide.
 */
export function deriveFrontends(inputs: FrontendInputs, options: FrontendOptions): FrontendTables {
  const frontends = new Table<Frontend>({ name: "frontends", key: frontendKey });
  const problems = problemTable("service-problems");
  const checkProblems = problemTable("health-check-problems");
  const healthChecks = new Table<HealthCheck>({
    name: "health-checks",
    key: ({ port }) => String(port),
  });
  const index = new ServiceIndex(inputs.Service);
  const builder = new FrontendBuilder({ ...inputs, index }, options);
  const created = (group: string) => {
    const { metadata } =
      (group.startsWith(POD_PREFIX)
        ? inputs.Pod.get(group.slice(POD_PREFIX.length))
        : inputs.Service.get(group)) ?? {};
    return metadata?.creationTimestamp ? Date.parse(metadata.creationTimestamp) : Infinity;
  };
  const precedence = (a: string, b: string) =>
    created(a) < created(b) || created(a) === created(b) && a < b ? -1 : 1;
  const everything = () => [
    ...inputs.Service.keys(),
    ...inputs.Pod.rows().filter(hasHostPorts).map((pod) => POD_PREFIX + resourceKey(pod)),
  ];
  const derivation = deriveGroups<Frontend>({
    inputs: [
      groupInput(inputs.Service, (change) => index.serviceChanged(change)),
      groupInput(inputs.EndpointSlice, (change) => index.sliceChanged(change)),
      groupInput(inputs.addresses, (change) => index.addressChanged(change)),
      groupInput(
        inputs.Pod,
        (change) => [...rowsOf(change)].some(hasHostPorts) ? [POD_PREFIX + change.key] : [],
      ),
      groupInput(
        inputs.localAddresses,
        (change) => [...rowsOf(change)].map(({ pod }) => POD_PREFIX + pod),
      ),
      groupInput(inputs.nodes, ({ key }) => key === options.nodeName ? everything() : []),
      groupInput(inputs.nodeAddresses, everything),
      groupInput(inputs.Node, ({ key }) => key === options.nodeName ? everything() : []),
    ],
    output: frontends,
    problems,
    compute: (group) =>
      group.startsWith(POD_PREFIX)
        ? builder.ofPod(group.slice(POD_PREFIX.length))
        : builder.ofService(group),
    precedence,
    conflict: (loser, owner) =>
      loser.kind === "Reserved" ? undefined : {
        source: ownerName(loser),
        message: `${formatIp(loser.address)} port ${loser.port}/${loser.protocol} is of ` +
          `${ownerName(owner)}, which is older or has the name before; change one`,
      },
  });
  const checks = deriveHealthChecks({ ...inputs, frontends }, {
    frontendsOf: (service) => builder.ofService(service).rows,
    precedence,
    output: healthChecks,
    problems: checkProblems,
  });
  return {
    frontends,
    problems,
    checkProblems,
    healthChecks,
    [Symbol.dispose]() {
      checks[Symbol.dispose]();
      derivation[Symbol.dispose]();
    },
  };
}
