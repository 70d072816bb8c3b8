/** From the text of a manifest file to resources, or to what is wrong with it. */

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
import type { Resource, ResourceKind, ResourceKinds } from "./resources.ts";
import { KINDS } from "./kinds.ts";
import { type Fault, faultText, isRecord, pathText, type Step } from "./schema.ts";

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

function apiGroup(apiVersion: string): string {
  return apiVersion.includes("/") ? apiVersion.slice(0, apiVersion.lastIndexOf("/")) : "";
}

/** A document of a file. */
interface Part {
  value: unknown;
  /** Where it is not even YAML. */
  errors: readonly ManifestProblem[];
  /** The line of what a fault of the document is about. */
  lineOf(path: readonly Step[], about: Fault["about"]): number;
}

/** Reads the YAML or JSON documents of a file. Never throws: what is wrong is in `problems`. */
export function parseManifest(text: string): Manifest {
  const json = /^\s*\{/.test(text) ? tryJson(text) : undefined;
  return json ?? readParts(yamlParts(text));
}

/** JSON is a fraction of the work that YAML is. Undefined when a parser has to say what is wrong where. */
function tryJson(text: string): Manifest | undefined {
  try {
    const manifest = readParts(jsonParts(text));
    return manifest.problems.length === 0 ? manifest : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** Throws SyntaxError for what is not JSON. */
function* jsonParts(text: string): Generator<Part> {
  let next = 1;
  for (const part of text.split(/^---[ \t]*$/m)) {
    const begin = part.search(/\S/);
    const line = next + newlines(part.slice(0, begin));
    if (begin >= 0) yield { value: JSON.parse(part), errors: [], lineOf: () => line };
    next += newlines(part);
  }
}

function newlines(text: string): number {
  return text.split("\n").length - 1;
}

function* yamlParts(text: string): Generator<Part> {
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
    const lineOf: Part["lineOf"] = (path, about) => lineAt(offsetOf(document, path, about));
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

function readParts(parts: Iterable<Part>): Manifest {
  const result: Manifest = { resources: [], problems: [], ignored: new Map() };
  const compactor = new Compactor();
  for (const { value: contents, errors, lineOf } of parts) {
    result.problems.push(...errors);
    if (errors.length > 0 || contents === null || contents === undefined) continue;

    const readResource = (value: unknown, path: readonly Step[], impliedKind?: string) => {
      const line = lineOf(path, "value");
      const at = path.length === 0 ? "" : `${pathText(path)}: `;
      const problem = (message: string) => result.problems.push({ line, message: at + message });
      if (!isRecord(value)) {
        problem("a resource must be a map with apiVersion, kind and metadata");
        return;
      }
      const textOf = (field: unknown) => typeof field === "string" ? field : undefined;
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
          readResource(item, [...path, "items", i], itemKind);
        }
        return;
      }
      const definition = Object.hasOwn(KINDS, kind) ? KINDS[kind as ResourceKind] : undefined;
      if (!definition || (given && apiGroup(given) !== apiGroup(definition.apiVersion))) {
        const name = `${apiVersion}/${kind}`;
        result.ignored.set(name, (result.ignored.get(name) ?? 0) + 1);
        return;
      }
      if (given && given !== definition.apiVersion) {
        problem(`apiVersion is ${given}, and must be ${definition.apiVersion} for ${kind}`);
        return;
      }
      const faults = definition.schema(value);
      if (faults.length > 0) {
        const name = textOf(isRecord(value["metadata"]) ? value["metadata"]["name"] : undefined);
        const title = name === undefined ? kind : `${kind} ${name}`;
        for (const fault of faults) {
          result.problems.push({
            line: lineOf([...path, ...fault.path], fault.about),
            message: `${at}${title}: ${faultText(fault)}`,
          });
        }
        return;
      }
      const { apiVersion: _, metadata, ...rest } = value as
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
        line,
      });
    };
    readResource(contents, []);
  }
  return result;
}
