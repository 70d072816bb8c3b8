/** From the text of a manifest file to resources, or to what is wrong with it. */

import {
  type DocumentProblem,
  jsonDocuments,
  type ParsedDocument,
  TooMuchError,
  yamlDocuments,
} from "./documents.ts";
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
    const { value, errors } = document;
    result.problems.push(...errors);
    if (errors.length > 0 || value === null || value === undefined) continue;
    readResource(result, document, reader, value, []);
  }
  return result;
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
  const { kinds, unknownFields } = reader;
  const line = document.lineOf(path, "value");
  const at = path.length === 0 ? "" : `${pathText(path)}: `;
  const problem = (message: string) => result.problems.push({ line, message: at + message });
  if (!isRecord(value)) {
    problem("a resource must be a map with apiVersion, kind and metadata");
    return;
  }
  const kind = textOf(value["kind"]) ?? impliedKind;
  const given = textOf(value["apiVersion"]);
  const apiVersion = given ?? (impliedKind ? "v1" : undefined);
  if (kind === undefined || apiVersion === undefined) {
    problem(`${kind === undefined ? "kind" : "apiVersion"} is missing, and must be there`);
    return;
  }
  const { items } = value;
  if (kind.endsWith("List") && Array.isArray(items)) {
    const itemKind = kind === "List" ? undefined : kind.slice(0, -"List".length);
    for (const [i, item] of items.entries()) {
      if (result.problems.length >= MAX_PROBLEMS) return;
      if (item === null) continue;
      readResource(result, document, reader, item, [...path, "items", i], itemKind);
    }
    return;
  }
  const definition = Object.hasOwn(kinds, kind) ? kinds[kind] : undefined;
  if (!definition || (given && apiGroup(given) !== apiGroup(definition.apiVersion))) {
    const name = `${apiVersion}/${kind}`;
    result.ignored.set(name, (result.ignored.get(name) ?? 0) + 1);
    return;
  }
  if (given && given !== definition.apiVersion) {
    problem(`apiVersion is ${given}, and must be ${definition.apiVersion} for ${kind}`);
    return;
  }
  let wrong = false;
  for (const fault of definition.schema(value)) {
    const name = textOf(isRecord(value["metadata"]) ? value["metadata"]["name"] : undefined);
    const title = name === undefined ? kind : `${kind} ${name}`;
    const unknown = fault.about === "field" && unknownFields === "warning";
    (unknown ? result.warnings : result.problems).push({
      line: document.lineOf([...path, ...fault.path], fault.about),
      message: `${at}${title}: ${faultText(fault)}`,
    });
    wrong ||= !unknown;
  }
  if (!wrong) result.resources.push(reader.normalise(kind, value, line));
}
