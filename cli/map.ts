/** `pilus map …` */

import type { MapView } from "../agent/api/views.ts";
import { ask } from "./ask.ts";
import type { Invocation } from "./command.ts";
import { printData, printRows } from "./output.ts";

interface Row {
  key: unknown;
  value: unknown;
}

export async function listMaps({ options }: Invocation): Promise<void> {
  printRows(options, await ask<MapView[]>(options, "/v1/maps"), [
    { title: "NAME", value: (m) => m.name },
    { title: "TYPE", value: (m) => m.type },
    { title: "KEY", value: (m) => m.keySize, align: "right" },
    { title: "VALUE", value: (m) => m.valueSize, align: "right" },
    { title: "ROWS", value: (m) => m.entries ?? "-", align: "right" },
    { title: "ROOM", value: (m) => m.maxEntries, align: "right" },
    {
      title: "FULL",
      value: (m) => m.pressure === undefined ? "-" : `${(100 * m.pressure).toFixed(1)}%`,
      align: "right",
    },
  ]);
}

/** One line a field would be long: `a=1 b=2` of an object, the value itself else. */
function flat(value: unknown): string {
  if (typeof value !== "object" || value === null) return String(value);
  if (Array.isArray(value)) return value.map(flat).join(",");
  return Object.entries(value).map(([k, v]) => `${k}=${flat(v)}`).join(" ");
}

export async function dumpMap({ args, options }: Invocation): Promise<void> {
  const path = `/v1/maps/${encodeURIComponent(args[0]!)}?limit=${options.limit}`;
  const rows = await ask<Row[]>(options, path);
  if (options.output !== "table") printData(options, rows);
  else for (const { key, value } of rows) console.log(`${flat(key)}  ->  ${flat(value)}`);
  if (rows.length === options.limit) {
    console.error(`The first ${rows.length} rows; --limit shows more`);
  }
}

export async function getMapRow({ args, options }: Invocation): Promise<void> {
  const [map, key] = args.map(encodeURIComponent);
  printData(options, await ask<Row>(options, `/v1/maps/${map}/${key}`));
}
