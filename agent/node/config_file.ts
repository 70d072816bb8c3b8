/** The file of `--config`: YAML, a key for each option by its name. */

import { isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from "yaml";
import { didYouMean } from "../core/nearest.ts";
import { OptionError } from "../core/option.ts";

/** A value of the file, not checked yet. */
export interface FileValue {
  /** FILE:LINE */
  where: string;
  texts: readonly string[];
  /** Whether the file has a list or a map there. */
  list: boolean;
}

/** No configuration is longer, in characters. */
const MAX_LENGTH = 1024 * 1024;

/** The values by key. Throws OptionError that names file, line and fix. */
export function readConfigFile(path: string, known: readonly string[]): Map<string, FileValue> {
  let text: string;
  try {
    text = Deno.readTextFileSync(path);
  } catch (error) {
    throw new OptionError(`Cannot read ${path}: ${(error as Error).message}`);
  }
  return parseConfig(path, text, known);
}

/** As {@linkcode readConfigFile}, of a text. */
export function parseConfig(
  path: string,
  text: string,
  known: readonly string[],
): Map<string, FileValue> {
  if (text.length > MAX_LENGTH) {
    throw new OptionError(`${path} has more than ${MAX_LENGTH} characters`);
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const at = (offset: number | undefined) => `${path}:${lines.linePos(offset ?? 0).line}`;
  const [error] = document.errors;
  if (error) throw new OptionError(`${at(error.pos[0])}: ${error.message}`);
  const values = new Map<string, FileValue>();
  const root = document.contents as Node | null;
  if (root === null || isScalar(root) && root.value === null) return values;
  if (!isMap(root)) throw new OptionError(`${at(root.range?.[0])}: must be a map of options`);
  for (const { key, value } of root.items) {
    const where = at((key as Node).range?.[0]);
    const name = scalarText(key) ?? "";
    if (!known.includes(name)) {
      throw new OptionError(`${where}: there is no option \`${name}\`${didYouMean(name, known)}`);
    }
    const texts = textsOf(value);
    if (!texts) throw new OptionError(`${where}: ${name} must be a value, or a list of values`);
    values.set(name, { where, texts, list: !isScalar(value) });
  }
  return values;
}

/** The value's texts, `KEY=VALUE` of a map; undefined when it is deeper than that. */
function textsOf(value: unknown): string[] | undefined {
  const texts = isSeq(value)
    ? value.items.map(scalarText)
    : isMap(value)
    ? value.items.map((pair) => {
      const [name, text] = [scalarText(pair.key), scalarText(pair.value)];
      return name === undefined || text === undefined ? undefined : `${name}=${text}`;
    })
    : [scalarText(value)];
  return texts.every((text) => text !== undefined) ? texts : undefined;
}

/** As it is written: a host that is called 007 stays 007. */
function scalarText(node: unknown): string | undefined {
  if (!isScalar(node) || node.value === null) return undefined;
  return typeof node.value === "number" ? node.source ?? String(node.value) : String(node.value);
}
