/** Keeps up with the objects of one kind that nodes publish, and keeps them on disk for the next start. */

import { formatObject, type Problem } from "../../core/problem.ts";
import type { Table } from "../../core/table.ts";
import { TimeSlice } from "../../core/time_slice.ts";
import { knownParts } from "../../kubernetes/known_parts.ts";
import { faultText } from "../../kubernetes/schema.ts";
import type { WatchChange } from "../../kubernetes/watch/kind_watch.ts";
import type { SavedObjects } from "../../kubernetes/watch/saved_objects.ts";
import type { ApiObject } from "../../kubernetes/watch/watched_kind.ts";
import type { PublishedKind } from "./published_kinds.ts";

/** What the API server says of an object. */
export interface ServerObject<Value> {
  name: string;
  /** Empty for what is from an earlier run. */
  version: string;
  /** The name of the Node that owns it. */
  owner: string | undefined;
  /** As the schema says. */
  value: Value;
}

/** What {@linkcode PublishedObjects} takes. */
export interface PublishedObjectsOptions<Value> {
  kind: PublishedKind;
  saved: SavedObjects;
  problems: Table<Problem>;
  onObject: (object: ServerObject<Value>) => void;
  /** The version is empty where nobody has said since when. */
  onGone: (name: string, version: string) => void;
}

/** See the module. */
export class PublishedObjects<Value> {
  readonly #options: PublishedObjectsOptions<Value>;
  readonly #names = new Set<string>();
  /** Of the list under way: the names that it has said. */
  #said: Set<string> | undefined;
  readonly #problems = new Map<string, Problem>();
  readonly #slice = new TimeSlice();
  readonly #complete = Promise.withResolvers<void>();
  isComplete = false;

  constructor(options: PublishedObjectsOptions<Value>) {
    this.#options = options;
  }

  /** Resolves when all that the server has was once taken over. */
  get complete(): Promise<void> {
    return this.#complete.promise;
  }

  /** Takes over what was saved. Returns whether that was all there was. */
  recall(): boolean {
    const { kind, saved } = this.#options;
    const objects = saved.objects(kind.kind);
    for (const object of objects ?? []) this.#set(object as ApiObject, false);
    return objects !== undefined;
  }

  async apply(change: WatchChange): Promise<void> {
    if (this.#slice.over) await this.#slice.next();
    switch (change.type) {
      case "list":
        this.#said = new Set();
        break;
      case "object":
        this.#said?.add(change.object.metadata.name);
        this.#set(change.object, true);
        break;
      case "gone":
        this.#said?.delete(change.object.metadata.name);
        this.#delete(change.object.metadata.name, change.object.metadata.resourceVersion);
        break;
      case "listed":
        await this.#keepOnly(this.#said ?? new Set());
    }
  }

  async #keepOnly(said: ReadonlySet<string>): Promise<void> {
    for (const name of [...this.#names, ...this.#problems.keys()]) {
      if (!said.has(name)) this.#delete(name);
      if (this.#slice.over) await this.#slice.next();
    }
    this.#said = undefined;
    this.#options.saved.complete(this.#options.kind.kind);
    this.isComplete = true;
    this.#complete.resolve();
  }

  #set(object: ApiObject, save: boolean): void {
    const { kind, saved, onObject } = this.#options;
    const { name } = object.metadata;
    const parts = knownParts(object, kind.schema) as Record<string, unknown>;
    const [fault] = kind.schema(parts);
    this.#forgetProblem(name);
    if (fault) return this.#report(name, faultText(fault));
    this.#names.add(name);
    const owner = ownerOf(object);
    // names and owner are all that is read of what metadata says
    const metadata = {
      name,
      ...(owner ? { ownerReferences: [{ kind: "Node", name: owner }] } : {}),
    };
    if (save) saved.set(kind.kind, name, { ...parts, metadata });
    const version = save ? object.metadata.resourceVersion : "";
    onObject({ name, version, owner, value: { ...parts, metadata: { name } } as Value });
  }

  #delete(name: string, version = ""): void {
    const { kind, saved, onGone } = this.#options;
    this.#forgetProblem(name);
    if (!this.#names.delete(name)) return;
    saved.delete(kind.kind, name);
    onGone(name, version);
  }

  #report(name: string, text: string): void {
    const object = { kind: this.#options.kind.kind, namespace: "", name };
    const effect = this.#names.has(name)
      ? "its last good version stays in force"
      : "nothing of it is in force";
    const problem = {
      source: formatObject(object),
      object,
      reason: "Invalid",
      message: `${text} (${effect})`,
    };
    this.#problems.set(name, problem);
    this.#options.problems.set(problem);
  }

  #forgetProblem(name: string): void {
    const { problems } = this.#options;
    const problem = this.#problems.get(name);
    if (problem) problems.delete(problems.keyOf(problem));
    this.#problems.delete(name);
  }
}

function ownerOf({ metadata }: ApiObject): string | undefined {
  const { ownerReferences } = metadata as { ownerReferences?: unknown };
  if (!Array.isArray(ownerReferences)) return undefined;
  const owner = ownerReferences.find((each) => each?.kind === "Node")?.name;
  return typeof owner === "string" ? owner : undefined;
}
