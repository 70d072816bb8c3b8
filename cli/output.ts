/** Tables, JSON and YAML from the same rows. */

import { printable } from "../agent/core/printable.ts";
import type { OptionValues } from "./command.ts";

/** One column of a table. */
export interface Column<Row> {
  title: string;
  value: (row: Row) => string | number | undefined;
  align?: "right";
}

/** Columns of a terminal that tables are made for. */
export const TABLE_WIDTH = 100;

/** A column that must give way gets no narrower than its title, nor than this. */
const MIN_COLUMN = 8;

/** A longer word is broken before other columns give way for it. */
const MAX_WORD = 32;

/**
 * The rows as text with aligned columns, no wider than {@linkcode TABLE_WIDTH}. A cell that is wider
 * than its column goes on in the next line: nothing is left out.
 */
export function formatTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const cells = rows.map((row) => columns.map((c) => oneLine(String(c.value(row) ?? ""))));
  const widths = columns.map((c, i) =>
    cells.reduce((width, line) => Math.max(width, line[i]!.length), c.title.length)
  );
  const words = columns.map((_, i) =>
    cells.reduce((longest, line) => Math.max(longest, longestWord(line[i]!)), 0)
  );
  const least = columns.map((c) => Math.max(c.title.length, MIN_COLUMN));
  // First where a line can be broken between words; names are broken when there is no other way.
  shrink(widths, least.map((width, i) => Math.max(width, Math.min(words[i]!, MAX_WORD))));
  shrink(widths, least);
  const line = (texts: readonly string[]) =>
    texts.map((text, i) =>
      columns[i]!.align === "right" ? text.padStart(widths[i]!) : text.padEnd(widths[i]!)
    ).join("  ").trimEnd();
  const lines = [line(columns.map((c) => c.title))];
  for (const row of cells) {
    const parts = row.map((text, i) => wrap(text, widths[i]!));
    const height = Math.max(...parts.map((part) => part.length));
    for (let n = 0; n < height; n++) lines.push(line(parts.map((part) => part[n] ?? "")));
  }
  return lines.join("\n") + "\n";
}

/** Any text within a line: blanks in place of line breaks, which messages of errors have, no controls. */
export function oneLine(text: string): string {
  return printable(text.replaceAll(/\s+/g, " ").trim());
}

/** Takes from the widest columns until the line fits; none gets narrower than its `least`. */
function shrink(widths: number[], least: readonly number[]): void {
  let excess = widths.reduce((sum, w) => sum + w, 2 * (widths.length - 1)) - TABLE_WIDTH;
  for (; excess > 0; excess--) {
    let widest = -1;
    for (const [i, width] of widths.entries()) {
      if (width > least[i]! && !(width <= widths[widest]!)) widest = i;
    }
    if (widest < 0) return;
    widths[widest]!--;
  }
}

/** After these characters a line may be broken, the first ones sooner. */
const BREAKS = [/ /, /,/, /[-/=.]/];

function longestWord(text: string): number {
  return text.split(/ |(?<=,)/).reduce((longest, word) => Math.max(longest, word.length), 0);
}

/** A number and its noun: `1 row`, `2 rows`. */
export function plural(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}

/** Lines of at most `width` characters, broken at blanks, else after commas, else in a word. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  while (text.length > width) {
    const end = lineEnd(text, width);
    lines.push(text.slice(0, end).trimEnd());
    text = text.slice(end);
  }
  return [...lines, text];
}

function lineEnd(text: string, width: number): number {
  for (const mark of BREAKS) {
    for (let end = width + (mark.test(" ") ? 1 : 0); end > 1; end--) {
      if (mark.test(text[end - 1]!)) return end;
    }
  }
  return width;
}

/** `Name: text` a line, the texts aligned; those without text are left out. */
export function formatFields(fields: readonly (readonly [string, string | undefined])[]): string {
  const shown = fields.filter(([, text]) => text);
  const indent = Math.max(0, ...shown.map(([name]) => name.length)) + 2;
  return shown.map(([name, text]) => {
    const [first, ...rest] = wrap(printable(text!), TABLE_WIDTH - indent);
    return [`${name}:`.padEnd(indent) + first, ...rest.map((part) => " ".repeat(indent) + part)]
      .join("\n") + "\n";
  }).join("");
}

/** Prints rows as `--output` says; `empty` is said on stderr when a table would have none. */
export async function printRows<Row>(
  options: OptionValues,
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  empty = "none",
): Promise<void> {
  if (options.output !== "table") return await printData(options, rows, () => "");
  if (rows.length === 0) printError(empty);
  else print(formatTable(columns, rows));
}

/** Prints one value as JSON or YAML; as a table it is printed by `asText`. */
export async function printData<Data>(
  options: OptionValues,
  data: Data,
  asText: (data: Data) => string,
): Promise<void> {
  if (options.output === "json") return write(JSON.stringify(data, null, 2) + "\n");
  if (options.output !== "yaml") return print(asText(data));
  const { stringify } = await import("@std/yaml");
  write(stringify(JSON.parse(JSON.stringify(data)))); // YAML has no undefined
}

/** A colour or weight of `@std/fmt/colors`, or the end of a line. */
const STYLE = new RegExp(`(\n|${String.fromCharCode(27)}\\[[0-9;]*m)`);

/** The text with other control characters than line breaks and colours as escapes. */
function forPeople(text: string): string {
  return text.split(STYLE).map((part, i) => i % 2 === 1 ? part : printable(part)).join("");
}

/** Writes a text for people to stdout: what is in it from outside cannot control the terminal. */
export function print(text: string): void {
  write(forPeople(text));
}

/** Writes a line, or lines, for people to stderr. */
export function printError(text: string): void {
  console.error(forPeople(text));
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

/** Whether stdout shows colours: it is a terminal, and NO_COLOR is not set. */
export function hasColor(): boolean {
  return Deno.stdout.isTerminal() && !Deno.env.get("NO_COLOR");
}
