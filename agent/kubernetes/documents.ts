/** From YAML to documents. */

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
  type ScalarTag,
  type Tags,
} from "yaml";
import { flowLexer } from "./flow_lexer.ts";
import { MAX_DEPTH, type ParsedDocument, TOO_DEEP, TooMuchError } from "./parsed_document.ts";
import { type Fault, MAX_FAULTS, type Step } from "./schema.ts";

/** Parts of one YAML document, such as keys, values and marks: its tree takes some 500 bytes for each. */
const MAX_TOKENS = 500_000;

/** Documents of one text. */
const MAX_DOCUMENTS = 100_000;

/** Throws TooMuchError for a value that has too many levels, or by its aliases too many parts. */
function checkGrowth(value: unknown): void {
  let parts = 0;
  const check = (value: unknown, depth: number): void => {
    if (++parts > MAX_TOKENS) {
      throw new TooMuchError(`has aliases that make more than ${MAX_TOKENS} parts of it`);
    }
    if (depth > MAX_DEPTH) throw new TooMuchError(TOO_DEEP);
    if (typeof value === "number" && !Number.isFinite(value)) {
      throw new TypeError(`${value} is no number that JSON has`);
    }
    if (typeof value !== "object" || value === null) return;
    for (const part of Object.values(value)) check(part, depth + 1);
  };
  check(value, 0);
}

/** The syntax trees of documents, read token by token so that it can end early. */
function* tokens(text: string, onNewLine: (offset: number) => void) {
  const parser = new Parser(onNewLine);
  onNewLine(0);
  let count = 0;
  for (const lexeme of flowLexer().lex(text)) {
    for (const token of parser.next(lexeme)) {
      if (token.type === "document") count = 0;
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

const OCTAL: ScalarTag = {
  tag: "tag:yaml.org,2002:int",
  default: true,
  format: "OCT",
  test: /^[-+]?0o[0-7_]+$/,
  resolve: (text) => Number(text.replace(/^\+/, "").replaceAll("_", "")),
};

/** As Kubernetes reads numbers, truths and merges: 0120 is 80, 8_080 is 8080, yes is true. */
const YAML_1_1 = {
  schema: "yaml-1.1",
  merge: true,
  // else some of it goes to the agent's standard error
  logLevel: "silent",
  customTags: (tags: Tags) => [
    OCTAL,
    ...tags.filter((tag) =>
      typeof tag === "string" ||
      !(TEXTS.includes(tag.tag.split(":").at(-1)!) || tag.format === "TIME")
    ),
  ],
} as const;

/** The parts of a text between marks of documents, with the number of lines before each. */
function* parts(text: string): Generator<[part: string, before: number]> {
  const mark = /^---[ \t]*\r?$/gm;
  let begin = 0, lines = 0, count = 0;
  while (begin <= text.length) {
    mark.lastIndex = begin;
    const end = mark.exec(text)?.index ?? text.length;
    const part = text.slice(begin, end);
    if (++count > MAX_DOCUMENTS) {
      throw new TooMuchError(`has more than ${MAX_DOCUMENTS} documents; make it several files`);
    }
    yield [part, lines];
    for (let at = part.indexOf("\n"); at >= 0; at = part.indexOf("\n", at + 1)) lines++;
    begin = end === text.length ? Infinity : mark.lastIndex;
  }
}

/**
 * What is not YAML is among the errors, of its document alone: as in kubectl a line of `---` ends one
 * whatever is wrong in it. Throws TooMuchError.
 */
export function* yamlDocuments(text: string): Generator<ParsedDocument> {
  // a mark of byte order begins each file, and files are put together
  for (const [part, before] of parts(text.replaceAll(/^\uFEFF/gm, ""))) {
    yield* documentsOf(part, before);
  }
}

function* documentsOf(text: string, before: number): Generator<ParsedDocument> {
  const lines = new LineCounter();
  const lineAt = (offset = 0) => before + Math.max(1, lines.linePos(offset).line);
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
    yield {
      value,
      errors,
      named: errors.length > 0 ? namedIn(text) : undefined,
      lineOf: (path, about) => lineAt(offsetOf(find(document, path, about))),
      sourceOf(path) {
        const node = find(document, path, "value").at(-1);
        return isScalar(node) ? node.source : undefined;
      },
    };
  }
}

/** What a text that is no YAML says that it is. */
function namedIn(text: string): ParsedDocument["named"] {
  const [apiVersion, kind] = ["apiVersion", "kind"].map((key) =>
    new RegExp(`^(["']?)${key}\\1:[ \\t]+(["']?)([A-Za-z0-9./]+)\\2[ \\t]*(#.*)?\\r?$`, "m")
      .exec(text)?.[3]
  );
  return apiVersion && kind ? { apiVersion, kind } : undefined;
}

/** The nodes on the way to what a fault is about, as far as there are some. */
function find(
  document: Document.Parsed,
  path: readonly Step[],
  about: Fault["about"],
): unknown[] {
  let node: unknown = document.contents;
  const nodes = [node];
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
    if (!isNode(next)) break;
    nodes.push(node = next);
  }
  return nodes;
}

/** Where in the text the last of the nodes is that has a place. */
function offsetOf(nodes: readonly unknown[]): number | undefined {
  const placed = nodes.findLast((node) => isNode(node) && node.range);
  return isNode(placed) ? placed.range?.[0] : undefined;
}
