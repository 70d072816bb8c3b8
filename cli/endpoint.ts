/** `pilus endpoint …` */

import { endpointName } from "../agent/api/endpoint.ts";
import type { EndpointView } from "../agent/api/types.ts";
import { ask } from "./ask.ts";
import type { Invocation } from "./command.ts";
import { formatFields, printData, printRows } from "./output.ts";

/** The pod's own labels: those of its namespace and cluster are the same for its neighbours. */
export function shortLabels(labels: readonly string[]): string {
  const own = labels.filter((l) => !l.includes("io.cilium.k8s.") && !l.includes("io.kubernetes."));
  return (own.length > 0 ? own : labels).map((l) => l.replace(/^(k8s|reserved):/, "")).join(",");
}

const MANIFEST: Record<EndpointView["manifest"], string> = {
  found: "found",
  missing: "no source has it: policies for reserved:init decide until one does",
  none: "none can describe it, as the runtime named no Pod: policies for reserved:unmanaged decide",
};

function state({ state, reason, manifest }: EndpointView): string {
  return [
    reason ? `${state}: ${reason}` : state,
    ...manifest === "missing" ? ["manifest missing"] : [],
  ].join(", ");
}

function enforcing({ enforcing: { ingress, egress } }: EndpointView): string {
  return ingress ? egress ? "both" : "ingress" : egress ? "egress" : "none";
}

/** What it has of what all endpoints share. */
function shares(
  { shares: { started, accepted, mappings, choices, affinity } }: EndpointView,
): string {
  const refused = [started, accepted, mappings].reduce((sum, share) => sum + share.refused, 0);
  return `${started.rows} connections begun and ${accepted.rows} accepted, ` +
    `${mappings.rows} masqueraded, ${choices.rows + affinity.rows} choices` +
    (refused > 0 ? `; refused ${refused} times` : "");
}

export async function listEndpoints({ options }: Invocation): Promise<void> {
  await printRows(options, await ask<EndpointView[]>(options, "/v1/endpoints"), [
    { title: "ID", value: (e) => e.id, align: "right" },
    { title: "POD", value: endpointName },
    { title: "ADDRESSES", value: (e) => [e.ipv4, e.ipv6].filter(Boolean).join(" ") },
    { title: "IDENTITY", value: (e) => e.identity || "-", align: "right" },
    { title: "ENFORCED", value: enforcing },
    { title: "STATE", value: state },
    { title: "LABELS", value: (e) => shortLabels(e.labels) },
  ], "No endpoints: no pod of this node has been added yet");
}

export async function getEndpoint({ args, options }: Invocation): Promise<void> {
  const path = `/v1/endpoints/${encodeURIComponent(args[0]!)}`;
  await printData(options, await ask<EndpointView>(options, path), (e) =>
    formatFields([
      ["Endpoint", String(e.id)],
      ["Pod", endpointName(e)],
      ["State", e.reason ? `${e.state}: ${e.reason}` : e.state],
      ["Manifest", MANIFEST[e.manifest]],
      ["Addresses", [e.ipv4, e.ipv6].filter(Boolean).join(" ")],
      ["Identity", e.identity ? String(e.identity) : "not known yet"],
      ["Labels", e.labels.join(" ")],
      ["Policy", e.policy ? `${e.policy}, revision ${e.revision}` : "none yet: nothing passes"],
      ["Enforced", enforcing(e)],
      ["Shares", shares(e)],
      ["Container", e.containerId],
      ["Namespace", e.netns],
      ["In the pod", `${e.ifname}, ${e.podMac}, MTU ${e.mtu}`],
      ["On the node", `${e.hostIfname}, ${e.hostMac}, index ${e.hostIfindex}`],
      ["Created", e.createdAt],
      ["Look further", `pilus policy get ${e.id}`],
    ]));
}
