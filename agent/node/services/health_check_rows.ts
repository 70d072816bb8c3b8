/** The health check ports of services whose externalTrafficPolicy is Local. */

import { formatIp } from "../../../datapath/net/ip.ts";
import { deriveGroups, groupInput, rowsOf } from "../../core/derive_groups.ts";
import type { Table } from "../../core/table.ts";
import type { Service } from "../../kubernetes/resources.ts";
import { chosenBackends } from "./backend_choice.ts";
import type { Frontend } from "./frontend.ts";
import type { HealthCheck } from "./health_checks.ts";

/**
 * Keeps `output` equal to the health checks of all services.
 *
 * @param frontendsOf the frontends of a service, by its key
 */
export function deriveHealthChecks(
  { services, frontends }: { services: Table<Service>; frontends: Table<Frontend> },
  frontendsOf: (service: string) => readonly Frontend[],
  output: Table<HealthCheck>,
): Disposable {
  return deriveGroups<HealthCheck>({
    inputs: [
      groupInput(services, (change) => [change.key]),
      groupInput(
        frontends,
        (change) => [...rowsOf(change)].map(({ namespace, name }) => `${namespace}/${name}`),
      ),
    ],
    output,
    compute: (key) => {
      const service = services.get(key);
      const port = service?.spec.healthCheckNodePort;
      if (!port || service.spec.externalTrafficPolicy !== "Local") return { rows: [] };
      const pods = new Set<string>();
      for (const { backends, external } of frontendsOf(key)) {
        const chosen = chosenBackends(backends, external).slice(0, external.count);
        for (const { address, pod, state } of chosen) {
          if (state === "active") pods.add(pod ?? formatIp(address));
        }
      }
      const { namespace, name } = service.metadata;
      return { rows: [{ namespace, name, port, localEndpoints: pods.size }] };
    },
  });
}
