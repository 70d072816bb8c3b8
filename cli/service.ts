/** `pilus service …` */

import { AgentError } from "../agent/api/client.ts";
import type { ServiceView } from "../agent/api/views.ts";
import { ask } from "./ask.ts";
import type { Invocation } from "./command.ts";
import { formatFields, formatTable, printData, printRows } from "./output.ts";

/** Address and port in one text. */
export function endText(ip: string, port: number | undefined): string {
  if (port === undefined) return ip;
  return ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`;
}

function serviceName({ namespace, name, portName }: ServiceView): string {
  return `${namespace}/${name}${portName ? `:${portName}` : ""}`;
}

const NO_BACKENDS = "none: connections are refused";

export async function listServices({ options }: Invocation): Promise<void> {
  await printRows(options, await ask<ServiceView[]>(options, "/v1/services"), [
    { title: "ID", value: (s) => s.id, align: "right" },
    { title: "SERVICE", value: serviceName },
    { title: "FRONTEND", value: (s) => `${endText(s.frontend, s.port)}/${s.protocol}` },
    { title: "TYPE", value: (s) => s.type },
    {
      title: "BACKENDS",
      value: (s) =>
        s.backends.map((b) =>
          endText(b.address, b.port) + (b.state === "active" ? "" : ` (${b.state})`)
        ).join(" ") || NO_BACKENDS,
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

function serviceText(s: ServiceView): string {
  const head = formatFields([
    ["Service", `${serviceName(s)} (${s.id})`],
    ["Type", s.type],
    ["Frontend", `${endText(s.frontend, s.port)}/${s.protocol}`],
    ["Backends", s.backends.length === 0 ? NO_BACKENDS : undefined],
  ]);
  if (s.backends.length === 0) return head;
  return `${head}\n` + formatTable([
    { title: "BACKEND", value: (b) => endText(b.address, b.port) },
    { title: "STATE", value: (b) => b.state },
    { title: "POD", value: (b) => b.pod },
    { title: "NODE", value: (b) => b.node },
  ], s.backends);
}
