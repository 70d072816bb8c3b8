/** From the text of a manifest file to resources, or to what is wrong with it. */

import { yamlDocuments } from "./documents.ts";
import { jsonDocuments } from "./json_documents.ts";
import { type DocumentProblem, type ParsedDocument, TooMuchError } from "./parsed_document.ts";
import { type KindDefinition, KINDS } from "./kinds.ts";
import { Interner } from "./interner.ts";
import { normalise } from "./normalise.ts";
import type { ResourceKind, ResourceKinds } from "./resources.ts";
import { faultText, isRecord, pathText, type Step } from "./schema.ts";

/** A resource and where it stands. */
export interface ManifestResource {
  kind: ResourceKind;
  resource: ResourceKinds[ResourceKind];
  /** Counted from 1. */
  line: number;
}

/** What a text holds. */
export interface Contents<Entry> {
  resources: Entry[];
  /** When there is one, the text as a whole is not to be used. */
  problems: DocumentProblem[];
  /** Fields that are not known, where the reader lets them be. */
  warnings: DocumentProblem[];
  /** How many resources there were of kinds that are not read, by `apiVersion/kind`. */
  ignored: Map<string, number>;
}

/** What a manifest file holds. */
export type Manifest = Contents<ManifestResource>;

/** How {@linkcode readResources} reads. */
export interface Reader<Entry> {
  /** The kinds that are read, by name. */
  kinds: Readonly<Record<string, KindDefinition>>;
  /**
   * What becomes of a field that the schema does not know: what people write has a typing error,
   * what a newer program writes has a field more.
   */
  unknownFields: "problem" | "warning";
  /** json: what is not JSON is a problem. */
  form: "yaml" | "json";
  /** Makes of a value that is as the schema says what the reader keeps of it. */
  normalise: (kind: string, value: Record<string, unknown>, line: number) => Entry;
}

/** Reads the YAML or JSON documents of a manifest file. Never throws: what is wrong is in `problems`. */
export function parseManifest(text: string): Manifest {
  return readResources(text, manifestReader());
}

function manifestReader(): Reader<ManifestResource> {
  const interner = new Interner();
  return {
    kinds: KINDS,
    unknownFields: "problem",
    form: "yaml",
    normalise: (kind, value, line) =>
      ({ kind, resource: normalise(kind as ResourceKind, value, interner), line }) as //
      ManifestResource,
  };
}

/** As {@linkcode parseManifest}; undefined for what is not JSON, or has something wrong. */
export function parseJsonManifest(text: string): Manifest | undefined {
  const contents = contentsOrProblems(() => tryJson(text, manifestReader()));
  return contents?.problems.length === 0 ? contents : undefined;
}

/** Parses, checks and normalises the resources of a text. Never throws. */
export function readResources<Entry>(text: string, reader: Reader<Entry>): Contents<Entry> {
  const contents = readText(text, reader);
  const template = contents.problems.length > 0 ? lineOfTemplate(text) : undefined;
  if (template === undefined) return contents;
  const message = "is a template, as of Helm: render it first, and put here what comes of it";
  return { ...contents, problems: [{ line: template, message }] };
}

/** The first line that begins with an action of a template, or has one for a value. */
function lineOfTemplate(text: string): number | undefined {
  const at = text.search(/^\s*(?:- +)?(?:[\w./-]+: +)?\{\{/m);
  return at < 0 ? undefined : text.slice(0, text.indexOf("{{", at)).split("\n").length;
}

function readText<Entry>(text: string, reader: Reader<Entry>): Contents<Entry> {
  return contentsOrProblems(() => {
    if (reader.form === "json") return read(jsonDocuments(text), reader);
    const json = tryJson(text, reader);
    if (json?.problems.length === 0) return json;
    try {
      return read(yamlDocuments(text), reader);
    } catch (error) {
      if (json && error instanceof TooMuchError) return json;
      throw error;
    }
  });
}

/** What `work` returns, or what it throws as a problem. */
function contentsOrProblems<Result>(work: () => Result): Result | Contents<never> {
  try {
    return work();
  } catch (error) {
    const tooMuch = error instanceof TooMuchError;
    const message = tooMuch ? error.message : `cannot be read: ${(error as Error).message}`;
    const problems = [{ line: 1, message }];
    return { resources: [], problems, warnings: [], ignored: new Map() };
  }
}

/**
 * JSON is a fraction of the work that YAML is, and knows the document's line alone. Undefined for what
 * is not JSON.
 */
function tryJson<Entry>(text: string, reader: Reader<Entry>): Contents<Entry> | undefined {
  if (!/^\s*\{/.test(text)) return undefined;
  try {
    return read(jsonDocuments(text), reader);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** Problems that are reported of one text. */
const MAX_PROBLEMS = 100;

function apiGroup(apiVersion: string): string {
  return apiVersion.includes("/") ? apiVersion.slice(0, apiVersion.lastIndexOf("/")) : "";
}

const textOf = (field: unknown) => typeof field === "string" ? field : undefined;

function read<Entry>(
  documents: Iterable<ParsedDocument>,
  reader: Reader<Entry>,
): Contents<Entry> {
  const result: Contents<Entry> = {
    resources: [],
    problems: [],
    warnings: [],
    ignored: new Map(),
  };
  for (const document of documents) {
    if (result.problems.length >= MAX_PROBLEMS) {
      result.problems.length = MAX_PROBLEMS;
      const { line } = result.problems.at(-1)!;
      result.problems.push({ line, message: "more may be wrong behind this: put it right first" });
      break;
    }
    const { value, errors, named } = document;
    if (errors.length > 0) {
      // what is not read need not be right
      if (named && !isList(named) && !definitionOf(reader, named)) ignore(result, named);
      else result.problems.push(...errors);
      continue;
    }
    if (value === null || value === undefined) continue;
    readResource(result, document, reader, value, []);
  }
  return result;
}

/** What a resource says that it is. */
interface Named {
  /** Undefined where a list says it of its items. */
  apiVersion: string | undefined;
  kind: string;
}

/** Undefined for a kind that is not read; of one that is, the version may be another. */
function definitionOf<Entry>(
  { kinds }: Reader<Entry>,
  { apiVersion, kind }: Named,
): KindDefinition | undefined {
  const definition = Object.hasOwn(kinds, kind) ? kinds[kind] : undefined;
  const isOther = definition && apiVersion !== undefined &&
    apiGroup(apiVersion) !== apiGroup(definition.apiVersion);
  return isOther ? undefined : definition;
}

const isList = ({ kind }: Named) => kind.endsWith("List");

function ignore({ ignored }: Contents<unknown>, { apiVersion = "v1", kind }: Named): void {
  const name = `${apiVersion}/${kind}`;
  ignored.set(name, (ignored.get(name) ?? 0) + 1);
}

/** Reads a value within the document: a resource, or a list of some. */
function readResource<Entry>(
  result: Contents<Entry>,
  document: ParsedDocument,
  reader: Reader<Entry>,
  value: unknown,
  path: readonly Step[],
  impliedKind?: string,
): void {
  const line = document.lineOf(path, "value");
  const at = path.length === 0 ? "" : `${pathText(path)}: `;
  const problem = (message: string) => result.problems.push({ line, message: at + message });
  if (!isRecord(value)) {
    problem("a resource must be a map with apiVersion, kind and metadata");
    return;
  }
  const kind = textOf(value["kind"]) ?? impliedKind;
  const apiVersion = textOf(value["apiVersion"]);
  if (kind === undefined || (apiVersion === undefined && impliedKind === undefined)) {
    problem(`${kind === undefined ? "kind" : "apiVersion"} is missing, and must be there`);
    return;
  }
  const named = { apiVersion, kind };
  const { items } = value;
  if (isList(named) && Object.hasOwn(value, "items") && items !== null && !Array.isArray(items)) {
    problem("items must be a list");
    return;
  }
  // to kubectl what has items is a list, whatever it is called
  if (Array.isArray(items)) {
    const itemKind = kind === "List" ? undefined : kind.replace(/List$/, "");
    for (const [i, item] of items.entries()) {
      if (result.problems.length >= MAX_PROBLEMS) return;
      if (item === null) continue;
      readResource(result, document, reader, item, [...path, "items", i], itemKind);
    }
    return;
  }
  const definition = definitionOf(reader, named);
  if (!definition) {
    ignore(result, named);
  } else if (apiVersion !== undefined && apiVersion !== definition.apiVersion) {
    problem(`apiVersion is ${apiVersion}, and must be ${definition.apiVersion} for ${kind}`);
  } else if (isAsSaid(result, document, reader, definition, value, kind, path)) {
    result.resources.push(reader.normalise(kind, value, line));
  }
}

/** Whether the value is as the kind's schema says; what is not is noted. */
function isAsSaid<Entry>(
  result: Contents<Entry>,
  document: ParsedDocument,
  { unknownFields }: Reader<Entry>,
  { schema }: KindDefinition,
  value: Record<string, unknown>,
  kind: string,
  path: readonly Step[],
): boolean {
  const name = textOf(isRecord(value["metadata"]) ? value["metadata"]["name"] : undefined);
  const title = name === undefined ? kind : `${kind} ${name}`;
  const at = path.length === 0 ? "" : `${pathText(path)}: `;
  let wrong = false;
  for (const fault of schema(value)) {
    const unknown = fault.about === "field" && unknownFields === "warning";
    const way = [...path, ...fault.path];
    const quoted = fault.unquoted === undefined
      ? ""
      : `; write it in quotes: "${document.sourceOf(way) ?? fault.unquoted}"`;
    (unknown ? result.warnings : result.problems).push({
      line: document.lineOf(way, fault.about),
      message: `${at}${title}: ${faultText(fault)}${quoted}`,
    });
    wrong ||= !unknown;
  }
  return !wrong;
}
