/** `pilus ct …` */

import type { ConnectionView } from "../agent/api/views.ts";
import { ask } from "./ask.ts";
import { type Invocation, UsageError } from "./command.ts";
import { printRows, write } from "./output.ts";
import { endText } from "./service.ts";

export async function listConnections({ options }: Invocation): Promise<void> {
  const { ip, port, protocol, limit } = options;
  const all = await ask<ConnectionView[]>(options, "/v1/ct?limit=1000000");
  const rows = all.filter((c) =>
    (ip === undefined || c.initiator === ip || c.responder === ip) &&
    (port === undefined || c.initiatorPort === port || c.responderPort === port) &&
    (protocol === undefined || c.protocol.toLowerCase() === String(protocol).toLowerCase())
  ).slice(0, Number(limit));
  printRows(options, rows, [
    { title: "PROTO", value: (c) => c.protocol },
    { title: "FROM", value: (c) => endText(c.initiator, c.initiatorPort) },
    { title: "TO", value: (c) => endText(c.responder, c.responderPort) },
    { title: "SERVICE", value: (c) => c.service },
    { title: "STATE", value: (c) => c.state },
    { title: "EXPIRES", value: (c) => `${c.expires}s`, align: "right" },
    { title: "PACKETS", value: (c) => c.packets.join("/"), align: "right" },
    { title: "BYTES", value: (c) => c.bytes.join("/"), align: "right" },
  ], "No connections");
}

export async function flushConnections({ options }: Invocation): Promise<void> {
  if (!options.yes) {
    throw new UsageError(
      "`ct flush` forgets every connection of the node; say --yes if you mean it",
    );
  }
  const { deleted } = await ask<{ deleted: number }>(options, "/v1/ct", { method: "DELETE" });
  write(`${deleted} connections forgotten\n`);
}
