/** The health check ports of services whose externalTrafficPolicy is Local. */

import { formatIp, NO_ADDRESS } from "../../../datapath/net/ip.ts";
import { deriveGroups, groupInput, rowsOf } from "../../core/derive_groups.ts";
import type { Problem } from "../../core/problem.ts";
import type { Table } from "../../core/table.ts";
import type { ResourceTables } from "../../kubernetes/resource_tables.ts";
import type { Service } from "../../kubernetes/resources.ts";
import type { ClusterNode, RemoteAddress } from "../../cluster/rows.ts";
import type { OwnAddress } from "../ipcache/own_addresses.ts";
import { chosenBackends } from "./backend_choice.ts";
import { type Frontend, frontendKey } from "./frontend.ts";
import type { HealthCheck } from "./health_checks.ts";
import { selects } from "./port_backends.ts";
import { sliceOwners } from "./service_index.ts";

/** What the frontends of a service follow. */
type HealthCheckInputs = Pick<ResourceTables, "Service" | "EndpointSlice" | "Node"> & {
  addresses: Table<RemoteAddress>;
  nodes: Table<ClusterNode>;
  nodeAddresses: Table<OwnAddress>;
  frontends: Table<Frontend>;
};

/** Options for {@linkcode deriveHealthChecks}. */
export interface HealthCheckOptions {
  /** The frontends of a service, by its key. */
  frontendsOf: (service: string) => readonly Frontend[];
  /** Which of two services has a port that both claim. */
  precedence: (a: string, b: string) => number;
  output: Table<HealthCheck>;
  problems: Table<Problem>;
}

function isChecked({ spec }: Service): boolean {
  return Boolean(spec.healthCheckNodePort) && spec.externalTrafficPolicy === "Local";
}

/**
 * Keeps `output` equal to the health checks of all services. They follow what the frontends do, not the
 * frontends: another service may have those, and this one's backends count all the same.
 */
export function deriveHealthChecks(
  inputs: HealthCheckInputs,
  { frontendsOf, precedence, output, problems }: HealthCheckOptions,
): Disposable {
  const { Service: services, EndpointSlice, Node, addresses, nodes, nodeAddresses, frontends } =
    inputs;
  /** The node port that the packets of a health check's port are for. */
  const nodePort = (port: number) =>
    frontends.get(frontendKey({ address: NO_ADDRESS, port, protocol: "TCP" }));
  /** Keys of the few services that have one. */
  const checked = new Set<string>();
  const all = () => checked;
  return deriveGroups<HealthCheck>({
    inputs: [
      groupInput(services, (change) => {
        if (change.kind !== "deleted" && isChecked(change.row)) checked.add(change.key);
        else checked.delete(change.key);
        return [change.key];
      }),
      groupInput(
        EndpointSlice,
        (change) => [...rowsOf(change)].flatMap(sliceOwners).filter((key) => checked.has(key)),
      ),
      groupInput(addresses, (change) =>
        checked.values().filter((key) => {
          const service = services.get(key); // it may be gone, and that not be known here yet
          return service && [...rowsOf(change)].some((row) => selects(service, row));
        })),
      groupInput(frontends, (change) => {
        const ports = [...rowsOf(change)].filter(({ kind }) => kind === "Reserved")
          .map(({ port }) => port);
        return ports.length === 0
          ? []
          : checked.values().filter((key) =>
            ports.includes(services.get(key)?.spec.healthCheckNodePort ?? 0)
          );
      }),
      groupInput(nodes, all),
      groupInput(nodeAddresses, all),
      groupInput(Node, all),
    ],
    output,
    problems,
    precedence,
    conflict: (loser, owner) => ({
      source: `Service ${loser.namespace}/${loser.name}`,
      message:
        `healthCheckNodePort ${loser.port} is of Service ${owner.namespace}/${owner.name}, ` +
        "which is older or has the name before; change one",
    }),
    compute: (key) => {
      const service = services.get(key);
      if (!service || !isChecked(service)) return { rows: [] };
      const port = service.spec.healthCheckNodePort!;
      const pods = new Set<string>();
      for (const { backends, external } of frontendsOf(key)) {
        const chosen = chosenBackends(backends, external).slice(0, external.count);
        for (const { address, pod, state } of chosen) {
          if (state === "active") pods.add(pod ?? formatIp(address));
        }
      }
      const { namespace, name } = service.metadata;
      const other = nodePort(port);
      if (other) {
        return {
          rows: [],
          problems: [{
            source: `Service ${namespace}/${name}`,
            message: `healthCheckNodePort ${port} is a node port of Service ` +
              `${other.namespace}/${other.name}, which gets its connections: balancers learn nothing ` +
              "of this node; change one",
          }],
        };
      }
      return { rows: [{ namespace, name, port, localEndpoints: pods.size }] };
    },
  });
}
