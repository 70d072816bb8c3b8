/** From text to documents: the values that YAML or JSON gives, and where each stands. */

import {
  Composer,
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  Parser,
} from "yaml";
import type { Fault, Step } from "./schema.ts";

/** What is wrong and where. */
export interface DocumentProblem {
  /** Counted from 1. */
  line: number;
  message: string;
}

/** A document of a text. */
export interface ParsedDocument {
  value: unknown;
  /** Where it is not even YAML. */
  errors: readonly DocumentProblem[];
  /** The line of what a fault of the document is about. */
  lineOf(path: readonly Step[], about: Fault["about"]): number;
}

/** Throws SyntaxError for what is not JSON. */
export function* jsonDocuments(text: string): Generator<ParsedDocument> {
  let next = 1;
  for (const part of text.split(/^---[ \t]*$/m)) {
    const begin = part.search(/\S/);
    const line = next + newlines(part.slice(0, begin));
    if (begin >= 0) yield { value: JSON.parse(part), errors: [], lineOf: () => line };
    next += newlines(part);
  }
}

function newlines(text: string): number {
  let count = 0;
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) count++;
  return count;
}

/** Never throws: what is not YAML is among the errors. */
export function* yamlDocuments(text: string): Generator<ParsedDocument> {
  const lines = new LineCounter();
  const lineAt = (offset = 0) => Math.max(1, lines.linePos(offset).line);
  // one document after the other: the tree of a large file would be many times the file
  for (const document of new Composer().compose(new Parser(lines.addNewLine).parse(text))) {
    const errors = document.errors.map(({ pos, message }) => ({
      line: lineAt(pos[0]),
      message: `not valid YAML: ${message}`,
    }));
    let value: unknown;
    try {
      if (errors.length === 0) value = document.toJS();
    } catch (error) { // aliases of aliases that would be more than memory holds
      const { message } = error as Error;
      errors.push({
        line: lineAt(document.contents?.range?.[0]),
        message: `not to be read: ${message}`,
      });
    }
    const lineOf: ParsedDocument["lineOf"] = (path, about) =>
      lineAt(offsetOf(document, path, about));
    yield { value, errors, lineOf };
  }
}

/** Where in the text the fault is, or as near to it as there is something. */
function offsetOf(
  document: Document.Parsed,
  path: readonly Step[],
  about: Fault["about"],
): number | undefined {
  let node: unknown = document.contents;
  let offset = document.contents?.range?.[0];
  const steps = about === "missing" ? path.slice(0, -1) : path;
  for (const [i, step] of steps.entries()) {
    if (isAlias(node)) node = node.resolve(document);
    let next: unknown;
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => String(isScalar(key) ? key.value : key) === step);
      const ofKey = i === path.length - 1 && about !== "value";
      next = ofKey ? pair?.key : pair?.value;
    } else if (isSeq(node)) {
      next = node.items[Number(step)];
    }
    if (!isNode(next)) return offset;
    node = next;
    offset = next.range?.[0] ?? offset;
  }
  return offset;
}
