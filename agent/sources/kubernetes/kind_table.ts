/** Brings what a watch says of one kind into its table: only differences are changes there. */

import { formatObject, type Problem } from "../../core/problem.ts";
import type { Table } from "../../core/table.ts";
import { TimeSlice } from "../../core/time_slice.ts";
import type { Resource, ResourceKind } from "../../kubernetes/resources.ts";
import { type ReadObject, ServerObjectReader } from "../../kubernetes/server_object.ts";
import type { WatchChange } from "../../kubernetes/watch/kind_watch.ts";
import type { ApiObject } from "../../kubernetes/watch/watched_kind.ts";
import { KINDS } from "../../kubernetes/kinds.ts";
import type { SavedObjects } from "../../kubernetes/watch/saved_objects.ts";

/** Problems of one object that are told. */
const MAX_PROBLEMS = 5;

/** What a {@linkcode KindTable} takes. */
export interface KindTableOptions {
  kind: ResourceKind;
  table: Table<Resource>;
  problems: Table<Problem>;
  saved: SavedObjects;
}

/** See the module. */
export class KindTable {
  readonly kind: ResourceKind;
  readonly #options: KindTableOptions;
  readonly #reader: ServerObjectReader;
  /** Of the list under way: the keys that it has said. */
  #said: Set<string> | undefined;
  /** By object that something is wrong with. */
  readonly #problems = new Map<string, readonly Problem[]>();
  readonly #slice = new TimeSlice();
  readonly #complete = Promise.withResolvers<void>();
  #isComplete = false;

  constructor(options: KindTableOptions) {
    this.kind = options.kind;
    this.#options = options;
    this.#reader = new ServerObjectReader(options.kind);
  }

  /** Resolves when the table was once all that the server has. */
  get complete(): Promise<void> {
    return this.#complete.promise;
  }

  get isComplete(): boolean {
    return this.#isComplete;
  }

  /** Fills the table with what was saved. Returns whether that was all there was. */
  recall(): boolean {
    const { kind, saved } = this.#options;
    const objects = saved.objects(kind);
    for (const object of objects ?? []) this.#set(object as ApiObject, { save: false });
    return objects !== undefined;
  }

  /** Long lists are taken over in parts. */
  async apply(change: WatchChange): Promise<void> {
    if (this.#slice.over) await this.#slice.next();
    switch (change.type) {
      case "list":
        this.#said = new Set();
        break;
      case "object":
        this.#said?.add(this.#keyOf(change.object));
        this.#set(change.object, { save: true });
        break;
      case "gone":
        this.#said?.delete(this.#keyOf(change.object));
        this.#delete(this.#keyOf(change.object));
        break;
      case "listed":
        await this.#keepOnly(this.#said ?? new Set());
        break;
      case "absent":
        await this.#keepOnly(new Set());
    }
  }

  async #keepOnly(said: ReadonlySet<string>): Promise<void> {
    const { table, saved } = this.#options;
    for (const key of new Set([...table.keys(), ...this.#problems.keys()])) {
      if (!said.has(key)) this.#delete(key);
      if (this.#slice.over) await this.#slice.next();
    }
    this.#said = undefined;
    saved.complete(this.kind);
    this.#isComplete = true;
    this.#complete.resolve();
  }

  #keyOf({ metadata: { namespace, name } }: ApiObject): string {
    return KINDS[this.kind].namespaced ? [namespace || "default", name].join("/") : name;
  }

  #set(object: ApiObject, { save }: { save: boolean }): void {
    const { table, saved } = this.#options;
    const key = this.#keyOf(object);
    const { resource, parts, problems } = this.#read(object);
    this.#report(key, object, problems, resource);
    if (resource && table.set(resource, key) && save) saved.set(this.kind, key, parts);
  }

  /** One object that cannot be read is that object's problem. */
  #read(object: ApiObject): ReadObject {
    try {
      return this.#reader.read(object);
    } catch (error) {
      return { parts: {}, problems: [`cannot be read: ${(error as Error).message}`] };
    }
  }

  #delete(key: string): void {
    const { table, saved } = this.#options;
    // of another version it may be saved and not be read
    const known = this.#problems.has(key);
    this.#forgetProblems(key);
    if (table.delete(key) || known) saved.delete(this.kind, key);
  }

  #report(key: string, { metadata }: ApiObject, texts: string[], now: Resource | undefined): void {
    this.#forgetProblems(key);
    if (texts.length === 0) return;
    const object = { kind: this.kind, namespace: metadata.namespace ?? "", name: metadata.name };
    const effect = now
      ? ""
      : this.#options.table.has(key)
      ? " (its last good version stays in force)"
      : " (nothing of it is in force)";
    const problems = texts.slice(0, MAX_PROBLEMS).map((text): Problem => ({
      source: formatObject(object),
      object,
      reason: now ? "NotRead" : "Invalid",
      message: text + effect,
    }));
    this.#problems.set(key, problems);
    for (const problem of problems) this.#options.problems.set(problem);
  }

  #forgetProblems(key: string): void {
    const { problems } = this.#options;
    for (const problem of this.#problems.get(key) ?? []) problems.delete(problems.keyOf(problem));
    this.#problems.delete(key);
  }
}
