/** The prefilter: sources whose packets are dropped before anything else. */

import { DropReason, type PrefilterKey } from "../../../datapath/maps/generated.ts";
import { formatCidr } from "../../../datapath/net/ip.ts";
import type { PrefilterView } from "../../api/views.ts";
import { problemTable } from "../../core/problem.ts";
import { Reconciler } from "../../core/reconciler.ts";
import type { Table } from "../../core/table.ts";
import type { AgentConfig } from "../config.ts";
import type { Kernel } from "../kernel.ts";
import { packetTotals } from "../observer/packet_totals.ts";
import type { Part } from "../part.ts";
import { type DeniedPrefix, deniedTable, PrefilterFile } from "./prefilter_file.ts";
import { PREFILTER_BATCH, prefilterTarget } from "./prefilter_map.ts";

/** See the module. */
export interface PrefilterPart extends Part {
  denied: Table<DeniedPrefix>;
}

/** Wires the prefilter's file to its map. */
export function prefilterPart(
  { config, kernel: { maps } }: { config: AgentConfig; kernel: Kernel },
): PrefilterPart {
  const stack = new AsyncDisposableStack();
  const denied = deniedTable();
  const problems = problemTable("prefilter-problems");
  const target = prefilterTarget(maps.pilus_prefilter);
  if (config.prefilter) {
    const before = target.read() ?? [];
    stack.use(new PrefilterFile({ path: config.prefilter, output: denied, problems, before }))
      .start();
  }
  const reconciler = stack.use(
    new Reconciler({
      name: "prefilter",
      desired: denied,
      target,
      matches: () => true,
      batchSize: PREFILTER_BATCH,
      repairIntervalMs: config.repairInterval * 1000,
    }),
  );
  const view = (): PrefilterView => {
    const dropped = packetTotals(maps).filter(({ reason }) =>
      reason === DropReason.DENIED_BY_PREFILTER
    );
    return {
      ...(config.prefilter ? { file: config.prefilter } : {}),
      prefixes: denied.rows().map(({ cidr, line }) => ({ prefix: formatCidr(cidr), line })),
      dropped: {
        packets: dropped.reduce((sum, { packets }) => sum + packets, 0),
        bytes: dropped.reduce((sum, { bytes }) => sum + bytes, 0),
      },
    };
  };
  return {
    name: "prefilter",
    denied,
    reconcilers: [reconciler],
    problems: [problems],
    routes: { "GET /v1/prefilter": view },
    maps: {
      pilus_prefilter: {
        row(key, value) {
          const { prefixLength, address } = key as PrefilterKey;
          return { key: formatCidr({ address: address.slice(), prefixLength }), value };
        },
      },
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}
