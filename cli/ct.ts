/** `pilus ct …` */

import type { ConnectionView } from "../agent/api/views.ts";
import { ask } from "./ask.ts";
import { type Invocation, UsageError } from "./command.ts";
import { ipOption, protocolOption } from "./filter.ts";
import { print, printError, printRows } from "./output.ts";
import { endText } from "./service.ts";

/** More rows than any table has: what --limit counts is what is left of them by the filters. */
const ALL = 10_000_000;

export async function listConnections({ options }: Invocation): Promise<void> {
  const { port, limit } = options;
  const ip = ipOption(options, "ip");
  const hasProtocol = protocolOption(options);
  const matching = (await ask<ConnectionView[]>(options, `/v1/ct?limit=${ALL}`)).filter((c) =>
    (ip === undefined || c.initiator === ip || c.responder === ip) &&
    (port === undefined || c.initiatorPort === port || c.responderPort === port) &&
    hasProtocol(c.protocol)
  );
  await printRows(options, matching.slice(0, Number(limit)), [
    { title: "PROTO", value: (c) => c.protocol },
    {
      title: "CONNECTION",
      value: (c) =>
        `${endText(c.initiator, c.initiatorPort)} -> ${endText(c.responder, c.responderPort)}` +
        (c.service ? ` (as ${c.service})` : ""),
    },
    { title: "STATE", value: (c) => c.state },
    { title: "EXPIRES", value: (c) => `${c.expires}s`, align: "right" },
    { title: "PACKETS", value: (c) => c.packets.join("/"), align: "right" },
    { title: "BYTES", value: (c) => c.bytes.join("/"), align: "right" },
  ], "No connections");
  if (matching.length > Number(limit)) {
    printError(`${limit} of ${matching.length} connections; --limit shows more`);
  }
}

export async function flushConnections({ options }: Invocation): Promise<void> {
  if (!options.yes) {
    throw new UsageError(
      "`ct flush` forgets every connection of the node; say --yes if you mean it",
    );
  }
  const { deleted } = await ask<{ deleted: number }>(options, "/v1/ct", { method: "DELETE" });
  print(`${deleted} connection${deleted === 1 ? "" : "s"} forgotten\n`);
}
