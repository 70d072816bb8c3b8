/** The bandwidth of pods, by the annotations `kubernetes.io/egress-bandwidth` and `ingress-bandwidth`. */

import { features, type TypedMap } from "../../../datapath/bpf/mod.ts";
import type { Bandwidth } from "../../../datapath/maps/generated.ts";
import type { Endpoint } from "../../api/endpoint.ts";
import { derive } from "../../core/derive.ts";
import { Reconciler, type Target } from "../../core/reconciler.ts";
import type { Table } from "../../core/table.ts";
import type { ResourceTables } from "../../kubernetes/resource_tables.ts";
import type { AgentConfig } from "../config.ts";
import type { Kernel } from "../kernel.ts";
import { setAll } from "../map_target.ts";
import type { Part } from "../part.ts";
import { fqTarget, pacedTable } from "./fq_target.ts";
import { deriveLimits, type LimitRow } from "./limit_rows.ts";

/** See the module. */
export interface BandwidthPart extends Part {
  /** By ifindex of the host's side. */
  limits: Table<LimitRow>;
}

/** The times in the rows are the programs' own. */
function limitTarget(map: TypedMap<number, Bandwidth>): Target<LimitRow> {
  return {
    *read() {
      for (const [ifindex, { egress, ingress }] of map.entries()) {
        yield { ifindex, egress: Number(egress), ingress: Number(ingress), pod: "" };
      }
    },
    apply(upserts, deletes) {
      map.deleteMany(deletes.map(({ ifindex }) => ifindex));
      return {
        failed: setAll(map, upserts, ({ ifindex, egress, ingress }) => [
          ifindex,
          { egress: BigInt(egress), ingress: BigInt(ingress), departs: 0n, arrived: 0n },
        ]),
      };
    },
  };
}

/** Wires annotations to the rows of the programs and the queues of the devices. */
export function bandwidthPart(
  { config, kernel, resources, endpoints }: {
    config: AgentConfig;
    kernel: Kernel;
    resources: Pick<ResourceTables, "Pod">;
    endpoints: Table<Endpoint>;
  },
): BandwidthPart {
  const { netlink, devices, maps } = kernel;
  const stack = new AsyncDisposableStack();
  const repairIntervalMs = config.repairInterval * 1000;
  const { limits, problems } = stack.use(deriveLimits({ endpoints, pods: resources.Pod }));
  const paced = pacedTable();
  const pods = () => limits.rows().filter(({ egress }) => egress > 0);
  stack.use(derive(
    [limits, devices],
    () => pods().length > 0 ? devices.rows().map(({ name, ifindex }) => ({ name, ifindex })) : [],
    paced,
  ));
  const rows = stack.use(
    new Reconciler({
      name: "bandwidth",
      desired: limits,
      target: limitTarget(maps.pilus_bandwidth),
      matches: (a, b) => a.egress === b.egress && a.ingress === b.ingress,
      repairIntervalMs,
    }),
  );
  const queues = stack.use(
    new Reconciler({
      name: "queues",
      desired: paced,
      target: fqTarget(netlink, devices, paced),
      vital: false,
      repairIntervalMs,
    }),
  );
  /** Why what leaves the node does not keep to its limits. */
  const unpaced = (): string | undefined => {
    if (pods().length === 0) return undefined;
    if (!features().skbTimestamp) return "the kernel is older than 5.18";
    const { errors, lastError } = queues.status();
    return errors > 0 ? lastError?.reason : undefined;
  };
  return {
    name: "bandwidth",
    limits,
    reconcilers: [rows, queues],
    problems: [problems],
    staleness() {
      const reason = unpaced();
      return reason &&
        `egress-bandwidth of ${pods().map(({ pod }) => pod).join(", ")} is not in force: ${reason}`;
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}
