/** From the text of a manifest file to resources, or to what is wrong with it. */

import { Composer, Document, isMap, isScalar, isSeq, LineCounter, type Node, Parser } from "yaml";
import type { Resource, ResourceKind, ResourceKinds } from "../resources.ts";
import { KINDS } from "./kinds.ts";
import type { CheckContext } from "./schema.ts";

/** A resource and where it stands. */
export interface ManifestResource {
  kind: ResourceKind;
  resource: ResourceKinds[ResourceKind];
  /** Counted from 1. */
  line: number;
}

/** What is wrong and where. */
export interface ManifestProblem {
  /** Counted from 1. */
  line: number;
  message: string;
}

/** What a file holds. */
export interface Manifest {
  resources: ManifestResource[];
  /** When there is one, the file as a whole is not to be used. */
  problems: ManifestProblem[];
  /** How many resources there were of kinds that pilus does not read, by `apiVersion/kind`. */
  ignored: Map<string, number>;
}

/** Longer texts of parts are not compared: they are hardly ever equal. */
const SHARED_LENGTH = 400;

/** Makes resources small: files have many thousands, and most of what they say is said often. */
class Compactor {
  readonly #known = new Map<string, unknown>();

  /**
   * Without the fields whose value is null, as they count as missing. Equal parts are one object, so
   * nothing of it may be changed; its texts do not keep the whole file in memory.
   */
  compact<T>(value: T): T {
    const text = JSON.stringify(value, (_, field) => field === null ? undefined : field);
    return JSON.parse(text, (_, part) => {
      if (typeof part === "string") return this.#share(`"${part}`, part);
      if (typeof part !== "object") return part;
      const content = JSON.stringify(part);
      return content.length > SHARED_LENGTH ? part : this.#share(content, part);
    });
  }

  #share(key: string, part: unknown): unknown {
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    this.#known.set(key, part);
    return part;
  }
}

function scalarText(node: unknown): string | undefined {
  return isScalar(node) && typeof node.value === "string" ? node.value : undefined;
}

function apiGroup(apiVersion: string): string {
  return apiVersion.includes("/") ? apiVersion.slice(0, apiVersion.lastIndexOf("/")) : "";
}

/** Reads the YAML or JSON documents of a file. Never throws: what is wrong is in `problems`. */
export function parseManifest(text: string): Manifest {
  const json = /^\s*\{/.test(text) ? parseJsonManifest(text) : undefined;
  if (json) return json;
  const lines = new LineCounter();
  // one document after the other: the tree of a large file would be many times the file
  const documents = new Composer().compose(new Parser(lines.addNewLine).parse(text));
  return readDocuments(documents, (offset = 0) => Math.max(1, lines.linePos(offset).line));
}

/**
 * Reads JSON, a fraction of the work that YAML is. Undefined when it is not JSON, and when lines count
 * that only the parser of YAML knows: of what is wrong, or of the items of a list.
 */
function parseJsonManifest(text: string): Manifest | undefined {
  const newlines = (part: string) => part.split("\n").length - 1;
  let line = 1;
  function* documents(): Generator<Document> {
    let next = 1;
    for (const part of text.split(/^---[ \t]*$/m)) {
      const begin = part.search(/\S/);
      if (begin >= 0) {
        line = next + newlines(part.slice(0, begin));
        const value = JSON.parse(part);
        if (value?.items !== undefined) throw new SyntaxError("A list");
        yield new Document(value, { aliasDuplicateObjects: false });
      }
      next += newlines(part);
    }
  }
  try {
    const manifest = readDocuments(documents(), () => line);
    return manifest.problems.length === 0 ? manifest : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** `lineOf` an offset in the file. */
function readDocuments(
  documents: Iterable<Document>,
  lineOf: (offset: number | undefined) => number,
): Manifest {
  const result: Manifest = { resources: [], problems: [], ignored: new Map() };
  const problem = (offset: number | undefined, message: string) =>
    result.problems.push({ line: lineOf(offset), message });
  const compactor = new Compactor();
  for (const document of documents) {
    for (const error of document.errors) problem(error.pos[0], `not valid YAML: ${error.message}`);
    if (document.errors.length > 0 || document.contents === null) continue;
    const contents = document.contents;
    if (isScalar(contents) && contents.value === null) continue;

    const readResource = (node: Node, path: string, impliedKind?: string) => {
      const offset = node.range?.[0];
      const at = path === "" ? "" : `${path}: `;
      if (!isMap(node)) {
        problem(offset, `${at}a resource must be a map with apiVersion, kind and metadata`);
        return;
      }
      const kind = scalarText(node.get("kind", true)) ?? impliedKind;
      const apiVersion = scalarText(node.get("apiVersion", true)) ??
        (impliedKind ? "v1" : undefined);
      if (kind === undefined || apiVersion === undefined) {
        const missing = kind === undefined ? "kind" : "apiVersion";
        problem(offset, `${at}${missing} is missing, and must be there`);
        return;
      }
      const items = node.get("items", true);
      if (kind.endsWith("List") && isSeq(items)) {
        const itemKind = kind === "List" ? undefined : kind.slice(0, -"List".length);
        for (const [i, item] of items.items.entries()) {
          readResource(item as Node, `${path}items[${i}]`, itemKind);
        }
        return;
      }
      const definition = Object.hasOwn(KINDS, kind) ? KINDS[kind as ResourceKind] : undefined;
      const implied = scalarText(node.get("apiVersion", true)) === undefined;
      if (
        !definition || (!implied && apiGroup(apiVersion) !== apiGroup(definition.apiVersion))
      ) {
        const name = `${apiVersion}/${kind}`;
        result.ignored.set(name, (result.ignored.get(name) ?? 0) + 1);
        return;
      }
      if (!implied && apiVersion !== definition.apiVersion) {
        problem(
          offset,
          `${at}apiVersion is ${apiVersion}, and must be ${definition.apiVersion} for ${kind}`,
        );
        return;
      }
      const before = result.problems.length;
      const name = scalarText(node.getIn(["metadata", "name"], true));
      const title = name === undefined ? kind : `${kind} ${name}`;
      const context: CheckContext = {
        document,
        report: (where, field, message) =>
          problem(
            where?.range?.[0] ?? offset,
            `${at}${title}: ${field === "" ? message : `${field} ${message}`}`,
          ),
      };
      definition.schema(node, "", context);
      if (result.problems.length > before) return;
      const { apiVersion: _, metadata, ...rest } = node.toJS(document) as
        & Record<string, unknown>
        & { metadata: Partial<Resource["metadata"]> };
      const resource = compactor.compact({
        ...(definition.pack ? definition.pack(rest) : rest),
        kind,
        metadata: {
          ...metadata,
          namespace: definition.namespaced ? metadata.namespace ?? "default" : "",
          labels: metadata.labels ?? {},
        },
      });
      result.resources.push({
        kind: kind as ResourceKind,
        resource: resource as unknown as ResourceKinds[ResourceKind],
        line: lineOf(offset),
      });
    };
    readResource(contents, "");
  }
  return result;
}
