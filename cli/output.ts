/** Tables, JSON and YAML from the same rows. */

import { stringify } from "@std/yaml";
import type { OptionValues } from "./command.ts";

/** One column of a table. */
export interface Column<Row> {
  title: string;
  value: (row: Row) => string | number | undefined;
  align?: "right";
  /** Characters; what is longer ends in an ellipsis. */
  max?: number;
}

/** Columns of a terminal that tables are made for. */
export const TABLE_WIDTH = 100;

/** The rows as text with aligned columns, no wider than {@linkcode TABLE_WIDTH} where it can be. */
export function formatTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const cells = rows.map((row) =>
    columns.map((c) => {
      const text = String(c.value(row) ?? "");
      return c.max && text.length > c.max ? text.slice(0, c.max - 1) + "…" : text;
    })
  );
  const widths = columns.map((c, i) =>
    Math.max(c.title.length, ...cells.map((line) => line[i]!.length))
  );
  shrink(widths, columns.map((c) => c.title.length));
  const line = (texts: readonly string[]) =>
    texts.map((text, i) => {
      const width = widths[i]!;
      const cut = text.length > width ? text.slice(0, width - 1) + "…" : text;
      return columns[i]!.align === "right" ? cut.padStart(width) : cut.padEnd(width);
    }).join("  ").trimEnd();
  return [line(columns.map((c) => c.title)), ...cells.map(line)].join("\n") + "\n";
}

/** Takes from the widest columns until the line fits; no column gets narrower than its title. */
function shrink(widths: number[], floors: readonly number[]): void {
  let excess = widths.reduce((sum, w) => sum + w, 2 * (widths.length - 1)) - TABLE_WIDTH;
  while (excess > 0) {
    let widest = -1;
    for (let i = 0; i < widths.length; i++) {
      if (widths[i]! > Math.max(floors[i]!, 8) && (widest < 0 || widths[i]! > widths[widest]!)) {
        widest = i;
      }
    }
    if (widest < 0) return;
    widths[widest]!--;
    excess--;
  }
}

/** Prints rows as `--output` says; `empty` is said on stderr when a table would have none. */
export function printRows<Row>(
  options: OptionValues,
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  empty = "none",
): void {
  if (options.output !== "table") return printData(options, rows);
  if (rows.length === 0) console.error(empty);
  else write(formatTable(columns, rows));
}

/** Prints one value as JSON or YAML; as a table it is printed by `asText`. */
export function printData<Data>(
  options: OptionValues,
  data: Data,
  asText: (data: Data) => string = (d) => stringify(plain(d)),
): void {
  if (options.output === "json") write(JSON.stringify(data, null, 2) + "\n");
  else if (options.output === "yaml") write(stringify(plain(data)));
  else write(asText(data));
}

/** Without undefined values, which YAML does not know. */
function plain(data: unknown): unknown {
  return JSON.parse(JSON.stringify(data));
}

/** Writes to stdout, all of it, before the next line of the program. A reader that left ends the program quietly. */
export function write(text: string): void {
  const bytes = new TextEncoder().encode(text);
  try {
    for (let n = 0; n < bytes.length;) n += Deno.stdout.writeSync(bytes.subarray(n));
  } catch (error) {
    if (error instanceof Deno.errors.BrokenPipe) Deno.exit(0);
    throw error;
  }
}
