/** `pilus nat list` */

import type { Listing, MappingView } from "../agent/api/views.ts";
import { parseConnectionQuery } from "../agent/api/connection_query.ts";
import { ask } from "./ask.ts";
import type { Invocation } from "./command.ts";
import { queryOf } from "./filter.ts";
import { printError, printRows } from "./output.ts";

export async function listMappings({ options }: Invocation): Promise<void> {
  const query = queryOf(options, ["ip", "port", "protocol", "limit"], parseConnectionQuery);
  const { rows, total } = await ask<Listing<MappingView>>(options, `/v1/nat?${query}`);
  await printRows(options, rows, [
    { title: "PROTO", value: (m) => m.protocol },
    { title: "CONNECTION", value: (m) => `${m.client} -> ${m.frontend}` },
    { title: "BECOMES", value: (m) => `${m.own} -> ${m.peer}` },
    { title: "STATE", value: (m) => m.state },
    { title: "IDLE", value: (m) => `${m.idle}s`, align: "right" },
  ], "No mappings");
  if (total > rows.length) {
    printError(`${rows.length} of ${total} mappings; --limit shows more`);
  }
}
