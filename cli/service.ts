/** `pilus service …` */

import { formatSocketAddress } from "../datapath/net/ip.ts";
import { AgentError } from "../agent/api/client.ts";
import type { ServiceBackendView, ServiceView } from "../agent/api/views.ts";
import { ask } from "./ask.ts";
import type { Invocation } from "./command.ts";
import { formatFields, formatTable, printData, printRows } from "./output.ts";

function serviceName({ namespace, name, portName }: ServiceView): string {
  return `${namespace}/${name}${portName ? `:${portName}` : ""}`;
}

const NO_BACKENDS = "none: connections are refused";

/** How many backends get new connections, and the states of the others. */
function backendsText({ backends, externalTrafficPolicy }: ServiceView): string {
  if (backends.length === 0) return NO_BACKENDS;
  const chosen = (scope: "internal" | "external") => backends.filter((b) => b[scope]).length;
  const [internal, external] = [chosen("internal"), chosen("external")];
  const states = Object.entries(Object.groupBy(backends, ({ state }) => state))
    .filter(([state]) => state !== "active")
    .map(([state, list]) => `${list!.length} ${state}`);
  const one = externalTrafficPolicy === undefined || internal === external;
  return [
    one
      ? `${internal} of ${backends.length}`
      : `${internal} (external ${external}) of ${backends.length}`,
    ...states,
  ].join(", ");
}

export async function listServices({ options }: Invocation): Promise<void> {
  await printRows(options, await ask<ServiceView[]>(options, "/v1/services"), [
    { title: "ID", value: (s) => s.id, align: "right" },
    { title: "SERVICE", value: serviceName },
    { title: "FRONTEND", value: (s) => `${formatSocketAddress(s.frontend, s.port)}/${s.protocol}` },
    { title: "TYPE", value: (s) => s.type },
    { title: "BACKENDS", value: backendsText },
    {
      title: "HITS",
      value: (s) => s.backends.reduce((sum, { hits }) => sum + hits, 0),
      align: "right",
    },
  ], "No services");
}

/** A service has a frontend per address and port: all of them, or the one with the number. */
export async function getService({ args: [wanted], options }: Invocation): Promise<void> {
  const services = (await ask<ServiceView[]>(options, "/v1/services")).filter((s) =>
    `${s.namespace}/${s.name}` === wanted || String(s.id) === wanted
  );
  if (services.length === 0) {
    throw new AgentError(404, {
      code: "not-found",
      message: `There is no service ${wanted}; see \`pilus service list\``,
    });
  }
  await printData(options, services, () => services.map(serviceText).join("\n"));
}

/** The clients whose new connections a backend gets. */
function clientsText({ internal, external }: ServiceBackendView, reachable: boolean): string {
  if (!reachable) return internal ? "new" : "known";
  if (internal && external) return "all";
  return internal ? "internal" : external ? "external" : "known";
}

function serviceText(s: ServiceView): string {
  const external = s.externalTrafficPolicy !== undefined;
  const policies = [
    s.internalTrafficPolicy && `internal ${s.internalTrafficPolicy}`,
    s.externalTrafficPolicy && `external ${s.externalTrafficPolicy}`,
  ].filter(Boolean).join(", ");
  const head = formatFields([
    ["Service", `${serviceName(s)} (${s.id})`],
    ["Type", s.type],
    ["Frontend", `${formatSocketAddress(s.frontend, s.port)}/${s.protocol}`],
    ["Forwarding", s.forwarding],
    ["Algorithm", s.algorithm],
    ["Affinity", s.affinitySeconds ? `by client address, ${s.affinitySeconds} s` : undefined],
    ["Policies", policies || undefined],
    ["Sources", s.sourceRanges?.join(", ")],
    ["Backends", s.backends.length === 0 ? NO_BACKENDS : undefined],
  ]);
  if (s.backends.length === 0) return head;
  return `${head}\n` + formatTable([
    { title: "BACKEND", value: (b) => formatSocketAddress(b.address, b.port) },
    { title: "STATE", value: (b) => b.state },
    { title: "CLIENTS", value: (b) => clientsText(b, external) },
    { title: "WEIGHT", value: (b) => b.weight, align: "right" },
    { title: "HITS", value: (b) => b.hits, align: "right" },
    { title: "POD", value: (b) => b.pod },
    { title: "NODE", value: (b) => b.node },
  ], s.backends);
}
