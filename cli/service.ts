/** `pilus service list` */

import type { ServiceView } from "../agent/api/views.ts";
import { ask } from "./ask.ts";
import type { Invocation } from "./command.ts";
import { printRows } from "./output.ts";

/** Address and port in one text. */
export function endText(ip: string, port: number | undefined): string {
  if (port === undefined) return ip;
  return ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`;
}

export async function listServices({ options }: Invocation): Promise<void> {
  printRows(options, await ask<ServiceView[]>(options, "/v1/services"), [
    { title: "ID", value: (s) => s.id, align: "right" },
    {
      title: "SERVICE",
      value: (s) => `${s.namespace}/${s.name}${s.portName ? `:${s.portName}` : ""}`,
    },
    { title: "FRONTEND", value: (s) => `${endText(s.frontend, s.port)}/${s.protocol}` },
    { title: "TYPE", value: (s) => s.type },
    {
      title: "BACKENDS",
      value: (s) =>
        s.backends.map((b) =>
          endText(b.address, b.port) + (b.state === "active" ? "" : ` (${b.state})`)
        ).join(" ") || "none: connections are refused",
    },
  ], "No services");
}
