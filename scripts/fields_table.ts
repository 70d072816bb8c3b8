/** Writes what becomes of the API's fields into docs/kubernetes.md, between its two marks. */

import { fromFileUrl } from "@std/path";
import { API_FIELDS, type FieldRow } from "../agent/kubernetes/api_fields.ts";

export const KUBERNETES = fromFileUrl(new URL("../docs/kubernetes.md", import.meta.url));

const BEGIN = "<!-- fields: written by scripts/fields_table.ts -->", END = "<!-- /fields -->";

/** The document with today's tables in it. */
export function withFieldTables(document: string): string {
  const begin = document.indexOf(BEGIN), end = document.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`${KUBERNETES} has no place for the fields`);
  const tables = Object.entries(API_FIELDS).map(([kind, rows]) => `\n## ${kind}\n${table(rows)}\n`);
  return `${document.slice(0, begin)}${BEGIN}\n${tables.join("")}${document.slice(end)}`;
}

/** A line for the fields of which the same is said. */
function table(rows: Readonly<Record<string, FieldRow>>): string {
  const lines = new Map<string, string[]>();
  for (const [path, { verdict, text, test }] of Object.entries(rows)) {
    const said = `${verdict} | ${text}${test ? ` ([test](../${test}))` : ""}`;
    lines.set(said, [...lines.get(said) ?? [], `\`${path}\``]);
  }
  return "| field | | |\n|---|---|---|\n" +
    [...lines].map(([said, paths]) => `| ${paths.join(", ")} | ${said} |`).join("\n");
}

if (import.meta.main) {
  Deno.writeTextFileSync(KUBERNETES, withFieldTables(Deno.readTextFileSync(KUBERNETES)));
}
