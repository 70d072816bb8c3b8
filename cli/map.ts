/** `pilus map …` */

import type { MapView } from "../agent/api/views.ts";
import { ask } from "./ask.ts";
import type { Invocation } from "./command.ts";
import { formatFields, printData, printError, printRows } from "./output.ts";

interface Row {
  key: unknown;
  value: unknown;
}

export async function listMaps({ options }: Invocation): Promise<void> {
  await printRows(options, await ask<MapView[]>(options, "/v1/maps"), [
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

/** One line: `a=1 b=2` of an object, `1,2` of a list. */
function flat(value: unknown): string {
  if (typeof value !== "object" || value === null) return String(value);
  if (Array.isArray(value)) {
    return value.map((v) => isObject(v) ? `(${flat(v)})` : flat(v)).join(",");
  }
  return Object.entries(value).map(([k, v]) => `${k}=${isObject(v) ? `(${flat(v)})` : flat(v)}`)
    .join(" ");
}

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export async function dumpMap({ args: [map], options }: Invocation): Promise<void> {
  const path = `/v1/maps/${encodeURIComponent(map!)}?limit=${options.limit}`;
  const rows = await ask<Row[]>(options, path);
  await printRows(options, rows, [
    { title: "KEY", value: (r) => flat(r.key) },
    { title: "VALUE", value: (r) => flat(r.value) },
  ], `Map ${map} is empty`);
  if (rows.length === options.limit) {
    printError(`The first ${rows.length} rows; --limit shows more`);
  }
}

export async function getMapRow({ args, options }: Invocation): Promise<void> {
  const [map, key] = args.map(encodeURIComponent);
  const row = await ask<Row>(options, `/v1/maps/${map}/${key}`);
  await printData(
    options,
    row,
    ({ value }) =>
      isObject(value)
        ? formatFields(Object.entries(value as object).map(([name, v]) => [name, flat(v)]))
        : `${flat(value)}\n`,
  );
}
