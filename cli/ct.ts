/** `pilus ct …` */

import { formatSocketAddress } from "../datapath/net/ip.ts";
import type { ConnectionView, Listing } from "../agent/api/views.ts";
import { parseConnectionQuery } from "../agent/api/connection_query.ts";
import { ask } from "./ask.ts";
import { type Invocation, UsageError } from "./command.ts";
import { queryOf } from "./filter.ts";
import { print, printError, printRows } from "./output.ts";

export async function listConnections({ options }: Invocation): Promise<void> {
  const query = queryOf(options, ["ip", "port", "protocol", "limit"], parseConnectionQuery);
  const { rows, total } = await ask<Listing<ConnectionView>>(options, `/v1/ct?${query}`);
  await printRows(options, rows, [
    { title: "PROTO", value: (c) => c.protocol },
    {
      title: "CONNECTION",
      value: (c) =>
        `${formatSocketAddress(c.initiator, c.initiatorPort)} -> ${
          formatSocketAddress(c.responder, c.responderPort)
        }` +
        (c.service ? ` (as ${c.service})` : ""),
    },
    { title: "STATE", value: (c) => c.state },
    { title: "EXPIRES", value: (c) => `${c.expires}s`, align: "right" },
    { title: "PACKETS", value: (c) => c.packets.join("/"), align: "right" },
    { title: "BYTES", value: (c) => c.bytes.join("/"), align: "right" },
  ], "No connections");
  if (total > rows.length) {
    printError(`${rows.length} of ${total} connections; --limit shows more`);
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
