/** `pilus nat list` */

import type { MappingView } from "../agent/api/views.ts";
import { ask } from "./ask.ts";
import type { Invocation } from "./command.ts";
import { protocolOption } from "./filter.ts";
import { printError, printRows } from "./output.ts";

/** More rows than any table has: what --limit counts is what is left of them by the filters. */
const ALL = 10_000_000;

export async function listMappings({ options }: Invocation): Promise<void> {
  const limit = Number(options.limit);
  const hasProtocol = protocolOption(options);
  const rows = (await ask<MappingView[]>(options, `/v1/nat?limit=${ALL}`)).filter((m) =>
    hasProtocol(m.protocol)
  );
  await printRows(options, rows.slice(0, limit), [
    { title: "PROTO", value: (m) => m.protocol },
    { title: "CONNECTION", value: (m) => `${m.client} -> ${m.frontend}` },
    { title: "BECOMES", value: (m) => `${m.own} -> ${m.peer}` },
    { title: "STATE", value: (m) => m.state },
    { title: "IDLE", value: (m) => `${m.idle}s`, align: "right" },
  ], "No mappings");
  if (rows.length > limit) printError(`${limit} of ${rows.length} mappings; --limit shows more`);
}
