/** Writes the table of the agent's options into docs/operations.md, between its two marks. */

import { fromFileUrl } from "@std/path";
import { defaultRows, SIZED_MAPS } from "../agent/node/map_sizes.ts";
import { ALL_OPTIONS, variableOf } from "../agent/node/options.ts";

export const OPERATIONS = fromFileUrl(new URL("../docs/operations.md", import.meta.url));

const BEGIN = "<!-- options: written by scripts/options_table.ts -->", END = "<!-- /options -->";

/** The document with the table of today's options in it. */
export function withOptionsTable(document: string): string {
  const begin = document.indexOf(BEGIN), end = document.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`${OPERATIONS} has no place for the options`);
  return `${document.slice(0, begin)}${BEGIN}\n${optionsTable()}${document.slice(end)}`;
}

function optionsTable(): string {
  const rows = ALL_OPTIONS.map((option) => {
    const { name, summary, values, range, placeholder, type } = option;
    const taken = values?.map((value) => `\`${value}\``).join(" ") ??
      (range ? `${range[0]} to ${range[1]}` : type === "boolean" ? "`true` `false`" : placeholder);
    const preset = option.default === undefined || String(option.default) === ""
      ? ""
      : `\`${option.default}\``;
    return `| \`${name}\` | \`${variableOf(option)}\` | ${taken} | ${preset} | ${summary} |\n`;
  });
  return "| flag and key | variable | values | default | |\n|---|---|---|---|---|\n" +
    rows.join("") + `\nMaps of \`map-size\`, and their rows by default: ${mapSizes()}.\n`;
}

function mapSizes(): string {
  return SIZED_MAPS.map((name) => {
    const rows = defaultRows(name);
    return rows === undefined ? `\`${name}\`` : `\`${name}\` ${rows.toLocaleString("en")}`;
  }).join(", ");
}

if (import.meta.main) {
  Deno.writeTextFileSync(OPERATIONS, withOptionsTable(Deno.readTextFileSync(OPERATIONS)));
}
