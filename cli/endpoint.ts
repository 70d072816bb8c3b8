/** `pilus endpoint …` */

import type { EndpointView } from "../agent/api/types.ts";
import { ask } from "./ask.ts";
import type { Invocation } from "./command.ts";
import { printData, printRows } from "./output.ts";

const LABEL_LENGTH = 40;

/** The pod's own labels: those of its namespace and cluster are the same for its neighbours. */
export function shortLabels(labels: readonly string[]): string {
  const own = labels.filter((l) => !l.includes("io.cilium.k8s.") && !l.includes("io.kubernetes."));
  return (own.length > 0 ? own : labels).map((l) => l.replace(/^(k8s|reserved):/, "")).join(",");
}

function enforcing({ enforcing: { ingress, egress } }: EndpointView): string {
  return ingress ? egress ? "both" : "ingress" : egress ? "egress" : "none";
}

export async function listEndpoints({ options }: Invocation): Promise<void> {
  const rows = await ask<EndpointView[]>(options, "/v1/endpoints");
  printRows(options, rows, [
    { title: "ID", value: (e) => e.id, align: "right" },
    { title: "POD", value: (e) => e.pod ? `${e.namespace}/${e.pod}` : e.containerId.slice(0, 12) },
    { title: "IPV4", value: (e) => e.ipv4 },
    { title: "IPV6", value: (e) => e.ipv6 },
    { title: "IDENTITY", value: (e) => e.identity, align: "right" },
    { title: "ENFORCED", value: enforcing },
    { title: "STATE", value: (e) => e.state },
    { title: "LABELS", value: (e) => shortLabels(e.labels), max: LABEL_LENGTH },
  ], "No endpoints: no pod of this node has been added yet");
}

export async function getEndpoint({ args, options }: Invocation): Promise<void> {
  const path = `/v1/endpoints/${encodeURIComponent(args[0]!)}`;
  printData(options, await ask<EndpointView>(options, path));
}
