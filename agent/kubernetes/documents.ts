/** From text to documents: the values that YAML or JSON gives, and where each stands. */

import {
  Composer,
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  Lexer,
  LineCounter,
  Parser,
  type Tags,
} from "yaml";
import { type Fault, MAX_FAULTS, type Step } from "./schema.ts";

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

/** Levels of maps and lists in one another; resources have less than half of that. */
const MAX_DEPTH = 100;

/** Parts of one YAML document, such as keys, values and marks: its tree takes some 500 bytes for each. */
const MAX_TOKENS = 500_000;

/** Documents of one text. */
const MAX_DOCUMENTS = 100_000;

/** A text that is too much to read: its message says what of it. */
export class TooMuchError extends Error {
  override readonly name = "TooMuchError";
}

const TOO_DEEP = `has more than ${MAX_DEPTH} levels of maps and lists in one another`;

/** Throws TooMuchError for a value with too many levels. */
function checkDepth(value: unknown, depth = 0): void {
  if (typeof value !== "object" || value === null) return;
  if (depth > MAX_DEPTH) throw new TooMuchError(TOO_DEEP);
  if (Array.isArray(value)) { for (const item of value) checkDepth(item, depth + 1); }
  else for (const key in value) checkDepth((value as Record<string, unknown>)[key], depth + 1);
}

/** Throws TooMuchError for a value that has too many levels, or by its aliases too many parts. */
function checkGrowth(value: unknown): void {
  let parts = 0;
  const check = (value: unknown, depth: number): void => {
    if (++parts > MAX_TOKENS) {
      throw new TooMuchError(`has aliases that make more than ${MAX_TOKENS} parts of it`);
    }
    if (depth > MAX_DEPTH) throw new TooMuchError(TOO_DEEP);
    if (typeof value !== "object" || value === null) return;
    for (const part of Object.values(value)) check(part, depth + 1);
  };
  check(value, 0);
}

/** Throws SyntaxError for what is not JSON, and TooMuchError. */
export function* jsonDocuments(text: string): Generator<ParsedDocument> {
  let next = 1;
  for (const part of text.split(/^---[ \t]*$/m)) {
    const begin = part.search(/\S/);
    const line = next + newlines(part.slice(0, begin));
    if (begin >= 0) {
      for (const { value, offset } of jsonValues(part)) {
        checkDepth(value);
        const at = offset === 0 ? line : next + newlines(part.slice(0, offset));
        yield { value, errors: [], lineOf: () => at };
      }
    }
    next += newlines(part);
  }
}

/** The value of the text, or objects one after the other. Throws SyntaxError. */
function* jsonValues(text: string): Generator<{ value: unknown; offset: number }> {
  try {
    yield { value: JSON.parse(text), offset: 0 };
    return;
  } catch (error) {
    if (objectEnd(text, 0) === undefined) throw error;
  }
  for (let offset = 0; offset < text.length;) {
    const end = objectEnd(text, offset) ?? text.length;
    const part = text.slice(offset, end);
    if (part.trim() !== "") yield { value: JSON.parse(part), offset: offset + part.search(/\S/) };
    offset = end;
  }
}

/** Where the object that begins at the offset, or after it, ends. */
function objectEnd(text: string, offset: number): number | undefined {
  const marks = /["{}]/g;
  marks.lastIndex = offset;
  const string = /"(?:[^"\\]|\\.)*"/ys;
  let depth = 0;
  for (let mark; (mark = marks.exec(text));) {
    if (mark[0] === '"') {
      string.lastIndex = mark.index;
      if (!string.test(text)) return undefined;
      marks.lastIndex = string.lastIndex;
    } else if (mark[0] === "{") depth++;
    else if (--depth <= 0) return marks.lastIndex;
  }
  return undefined;
}

function newlines(text: string): number {
  let count = 0;
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) count++;
  return count;
}

/** The syntax trees of a text's documents, read token by token so that it can end early. */
function* tokens(text: string, onNewLine: (offset: number) => void) {
  const parser = new Parser(onNewLine);
  onNewLine(0);
  let count = 0, documents = 0;
  for (const lexeme of new Lexer().lex(text)) {
    for (const token of parser.next(lexeme)) {
      if (token.type === "document") {
        count = 0;
        if (++documents > MAX_DOCUMENTS) {
          throw new TooMuchError(`has more than ${MAX_DOCUMENTS} documents; make it several files`);
        }
      }
      yield token;
    }
    if (parser.stack.length > MAX_DEPTH) throw new TooMuchError(TOO_DEEP);
    if (++count > MAX_TOKENS) {
      throw new TooMuchError(
        `has a YAML document of more than ${MAX_TOKENS} parts; make it several, or write JSON`,
      );
    }
  }
  yield* parser.end();
}

/** What Kubernetes leaves as text: times, numbers of base 60, and what is no JSON. */
const TEXTS = ["timestamp", "binary", "set", "omap", "pairs"];

/** As Kubernetes reads numbers and merges: 0120 is 80, 8_080 is 8080. */
const YAML_1_1 = {
  schema: "yaml-1.1",
  merge: true,
  customTags: (tags: Tags) =>
    tags.flatMap((tag) => {
      if (typeof tag === "string") return tag;
      const name = tag.tag.split(":").at(-1)!;
      if (TEXTS.includes(name) || tag.format === "TIME") return [];
      if (name !== "bool" || tag.collection) return tag;
      // yes, no, on and off stay texts, which labels may be
      const test = tag.identify?.(true) ? /^(true|True|TRUE)$/ : /^(false|False|FALSE)$/;
      return { ...tag, test };
    }),
} as const;

/** What is not YAML is among the errors. Throws TooMuchError. */
export function* yamlDocuments(text: string): Generator<ParsedDocument> {
  const lines = new LineCounter();
  // a mark of byte order begins each file, and files are put together
  text = text.replaceAll(/^\uFEFF/gm, "");
  const lineAt = (offset = 0) => Math.max(1, lines.linePos(offset).line);
  // one document after the other: the tree of a large file would be many times the file
  for (const document of new Composer(YAML_1_1).compose(tokens(text, lines.addNewLine))) {
    const errors = document.errors.slice(0, MAX_FAULTS).map(({ pos, message }) => ({
      line: lineAt(pos[0]),
      message: `not valid YAML: ${message}`,
    }));
    let value: unknown;
    try {
      if (errors.length === 0) {
        value = document.toJS({ maxAliasCount: -1 });
        checkGrowth(value);
      }
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
