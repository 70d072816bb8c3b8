/**
 * From an object of the API server to a resource. Of what it says, what the kind's schema reads counts:
 * fields that are newer than pilus make no object invalid, and what changes beside makes no other
 * resource. In rules of policies an unknown field may be what restricts them, so such a rule allows
 * nothing.
 */

import { BANDWIDTH_ANNOTATIONS } from "./bandwidth_annotations.ts";
import { Interner } from "./interner.ts";
import { KINDS } from "./kinds.ts";
import { knownParts } from "./known_parts.ts";
import { normalise } from "./normalise.ts";
import type { Resource, ResourceKind } from "./resources.ts";
import { faultText, isRecord, pathText, type Schema, shapeOf } from "./schema.ts";

/** What a server's object is read as. */
export interface ReadObject {
  /** What of the object counts, as plain data. */
  parts: Record<string, unknown>;
  /** Undefined when something is wrong with it. */
  resource?: Resource;
  /** What is wrong, or not done. */
  problems: string[];
}

type Parts = Record<string, unknown>;

/** Objects that share texts and parts. */
const SHARING = 10_000;

/** Reads objects of one kind. */
export class ServerObjectReader {
  readonly #kind: ResourceKind;
  readonly #schema: Schema;
  #interner = new Interner();
  #read = 0;

  constructor(kind: ResourceKind) {
    this.#kind = kind;
    this.#schema = KINDS[kind].schema;
  }

  read(object: unknown): ReadObject {
    const problems: string[] = [];
    const parts = this.#partsOf(object, problems);
    const faults = this.#schema(parts);
    if (faults.length > 0) return { parts, problems: faults.map(faultText) };
    // what it knows is never less: it would grow with all that ever was
    if (++this.#read % SHARING === 0) this.#interner = new Interner();
    const value = { apiVersion: KINDS[this.#kind].apiVersion, kind: this.#kind, ...parts };
    return { parts, resource: normalise(this.#kind, value, this.#interner), problems };
  }

  #partsOf(object: unknown, problems: string[]): Parts {
    const { apiVersion: _, kind: __, ...parts } = knownParts(object, this.#schema) as Parts;
    if (isRecord(parts["metadata"])) {
      const { annotations: all, ...metadata } = parts["metadata"];
      const annotations = isRecord(all) ? readAnnotations(all, this.#kind) : all ?? undefined;
      parts["metadata"] = {
        ...metadata,
        ...(annotations === undefined ? {} : { annotations }),
        ...(this.#kind === "Pod" ? podUid(object) : {}),
      };
    }
    if (!this.#kind.endsWith("NetworkPolicy")) return parts;
    const shape = shapeOf(this.#schema);
    for (const name of ["spec", "specs"]) {
      const schema = shape && "fields" in shape ? shape.fields[name] : undefined;
      if (!schema || !isRecord(object) || object[name] === undefined) continue;
      const whole = knownParts(object[name], schema, true);
      parts[name] = this.#closed(whole, schema, name, problems);
    }
    return parts;
  }

  /** A policy's spec without unknown fields, and without what the rules allow that have some. */
  #closed(spec: unknown, schema: Schema, name: string, problems: string[]): unknown {
    for (;;) {
      const unknown = schema(spec).find(({ about }) => about === "field");
      if (!unknown) return spec;
      const at = unknown.path.findIndex((step, i) =>
        typeof step === "number" && /^(ingress|egress)$/.test(String(unknown.path[i - 1]))
      );
      const effect = at < 0 ? "it is passed over" : "the rule that has it allows nothing";
      problems.push(`${pathText([name, ...unknown.path])} is not a field known here: ${effect}`);
      spec = at < 0 || at === unknown.path.length - 1
        ? without(spec, unknown.path)
        : this.#withoutRule(spec, unknown.path.slice(0, at + 1));
    }
  }

  /** In Cilium's policies an empty rule isolates and allows nothing; in others it would allow all. */
  #withoutRule(spec: unknown, path: readonly (string | number)[]): unknown {
    return this.#kind === "NetworkPolicy" ? without(spec, path) : replaced(spec, path, {});
  }
}

/** Those that are read: of Services their own and Cilium's; others are many, and change often. */
const READ_ANNOTATIONS: Partial<Record<ResourceKind, (name: string) => boolean>> = {
  Service: () => true,
  Pod: (name) => Object.values<string>(BANDWIDTH_ANNOTATIONS).includes(name),
};

/** Undefined when there are none. */
function readAnnotations(annotations: Parts, kind: ResourceKind): Parts | undefined {
  const isRead = READ_ANNOTATIONS[kind] ?? (() => false);
  const read = Object.entries(annotations).filter(([name]) => isRead(name));
  return read.length > 0 ? Object.fromEntries(read) : undefined;
}

/** The runtime knows a pod of the kubelet's own manifests by what its mirror on the server says there. */
const MIRROR = "kubernetes.io/config.mirror";

function podUid(object: unknown): { uid?: unknown } {
  const metadata = isRecord(object) && isRecord(object["metadata"]) ? object["metadata"] : {};
  const annotations = isRecord(metadata["annotations"]) ? metadata["annotations"] : {};
  const uid = annotations[MIRROR] ?? metadata["uid"];
  return typeof uid === "string" ? { uid } : {};
}

function without(value: unknown, path: readonly (string | number)[]): unknown {
  const [step, ...rest] = path;
  if (rest.length > 0) return replaced(value, [step!], without(at(value, step!), rest));
  if (Array.isArray(value)) return value.filter((_, i) => i !== step);
  return Object.fromEntries(Object.entries(value as Parts).filter(([name]) => name !== step));
}

function replaced(value: unknown, path: readonly (string | number)[], by: unknown): unknown {
  const [step, ...rest] = path;
  const now = rest.length > 0 ? replaced(at(value, step!), rest, by) : by;
  if (Array.isArray(value)) return value.with(step as number, now);
  return { ...(value as Parts), [step!]: now };
}

function at(value: unknown, step: string | number): unknown {
  return (value as Parts)[step as string];
}
