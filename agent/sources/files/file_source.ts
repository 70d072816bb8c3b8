/**
 * The source of those who run pilus without an API server: a directory of Kubernetes manifests,
 * watched. A file that is wrong is reported, and its last good version stays in force, over
 * restarts too.
 */

import { join } from "@std/path";
import type { Problem } from "../../core/problem.ts";
import type { Table } from "../../core/table.ts";
import { WatchedDirectory } from "../../core/watched_directory.ts";
import { KINDS } from "../../kubernetes/kinds.ts";
import type { Manifest, ManifestResource } from "../../kubernetes/manifest.ts";
import { createResourceTables } from "../../kubernetes/resource_tables.ts";
import { type Resource, resourceKey, type ResourceKind } from "../../kubernetes/resources.ts";
import type { ResourceSource } from "../resource_source.ts";
import { ManifestReader } from "./manifest_reader.ts";
import { LastGood } from "./last_good.ts";

/** The most bytes of one file. */
const MAX_BYTES = 16 * 1024 * 1024;

/** Options for a {@linkcode FileSource}. */
export interface FileSourceOptions {
  /** Read with all below it, hidden files excepted; made when it is not there. */
  directory: string;
  /** Where the last good versions are kept: of this node alone. */
  stateDirectory: string;
  /**
   * Milliseconds between full scans, which find what the watch has missed.
   *
   * @default {10_000}
   */
  rescanMs?: number;
}

/** A file as it was read. */
interface KnownFile {
  /** What is in force: this version's, or an earlier one's while this one is wrong. */
  inForce: Manifest | undefined;
  problems: Manifest["problems"];
}

/** A resource and the file that it is of. */
interface Claim {
  path: string;
  entry: ManifestResource;
}

/** See the module. */
export class FileSource implements ResourceSource {
  readonly name: string;
  readonly tables = createResourceTables();
  readonly #directory: string;
  readonly #watched: WatchedDirectory;
  readonly #lastGood: LastGood;
  readonly #files = new Map<string, KnownFile>();
  readonly #reader = new ManifestReader();
  /** By path, the reading of its newest version that has not ended. */
  readonly #reading = new Map<string, Promise<void>>();
  /** Why the good version of a file could not be kept, by path. */
  readonly #unkept = new Map<string, string>();
  #failure: string | undefined;
  /** Whether the tables do not say yet what the files do. */
  #changed = true;

  constructor({ directory, stateDirectory, rescanMs }: FileSourceOptions) {
    this.name = `files:${directory}`;
    this.#directory = directory;
    Deno.mkdirSync(directory, { recursive: true });
    this.#lastGood = new LastGood(join(stateDirectory, "manifests"));
    this.#watched = new WatchedDirectory({
      directory,
      followLinks: true,
      maxBytes: MAX_BYTES,
      ...(rescanMs === undefined ? {} : { rescanMs }),
      onChanged: (path, text) => this.#read(path, text),
      onUnreadable: (path, error) => {
        const problems = [{ line: 1, message: `cannot be read: ${error}` }];
        this.#know(path, { inForce: this.#files.get(path)?.inForce, problems });
      },
      onGone: (path) => {
        this.#files.delete(path);
        this.#reading.delete(path);
        this.#unkept.delete(path);
        this.#changed = true;
        this.#lastGood.forget(path);
      },
      onScanned: (failure) => this.#finishScan(failure),
    });
  }

  async start(): Promise<void> {
    await this.#watched.start();
    while (this.#reading.size > 0) await Promise.all(this.#reading.values());
    this.#lastGood.prune(this.#files.keys());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#reading.clear();
    this.#reader[Symbol.dispose]();
    await this.#watched.stop();
  }

  #know(path: string, file: KnownFile): void {
    this.#files.set(path, file);
    this.#changed = true;
  }

  #read(path: string, text: string): void {
    this.#reading.delete(path);
    const manifest = this.#reader.readSmall(text);
    if (manifest) {
      this.#take(path, text, manifest);
      return;
    }
    this.#readLater(path, text, (manifest) => this.#take(path, text, manifest));
  }

  /** Reads a large text; what comes of it counts unless the file is another one by then. */
  #readLater(path: string, text: string, take: (manifest: Manifest) => void): void {
    const reading = this.#reader.read(text).then((manifest) => {
      if (this.#reading.get(path) !== reading) return;
      this.#reading.delete(path);
      take(manifest);
      this.#publishChanges();
    });
    this.#reading.set(path, reading);
  }

  #take(path: string, text: string, manifest: Manifest): void {
    const { problems } = manifest;
    if (problems.length === 0) {
      this.#know(path, { inForce: manifest, problems });
      this.#remember(path, text);
      return;
    }
    const inForce = this.#files.get(path)?.inForce;
    this.#know(path, { inForce, problems });
    const last = inForce ? undefined : this.#lastGood.recall(path);
    if (last === undefined) return;
    const recall = (last: Manifest) => {
      if (last.problems.length === 0) this.#know(path, { inForce: last, problems });
    };
    const small = this.#reader.readSmall(last);
    if (small) recall(small);
    else this.#readLater(path, last, recall);
  }

  /** What cannot be kept, as on a full disk, is in force all the same. */
  #remember(path: string, text: string): void {
    try {
      this.#lastGood.remember(path, text);
      this.#unkept.delete(path);
    } catch (error) {
      this.#unkept.set(path, `is in force and would not be after a restart: ${error}`);
    }
  }

  #finishScan(failure: string | undefined): void {
    if (failure !== this.#failure) this.#changed = true;
    this.#failure = failure;
    this.#publishChanges();
  }

  #publishChanges(): void {
    if (this.#changed) this.#publish();
    this.#changed = false;
  }

  /** Makes the tables what the files in force say. */
  #publish(): void {
    const problems: Problem[] = [];
    const rows = new Map<ResourceKind, Map<string, Claim>>();
    for (const kind of Object.keys(KINDS) as ResourceKind[]) rows.set(kind, new Map());
    if (this.#failure !== undefined) {
      problems.push({ source: this.#directory, message: this.#failure });
    }
    for (const [source, message] of this.#unkept) problems.push({ source, message });
    for (const [path, file] of [...this.#files].sort(([a], [b]) => a < b ? -1 : 1)) {
      for (const { line, message } of file.problems) {
        const effect = file.inForce
          ? " (the last good version of the file stays in force)"
          : " (nothing of the file is in force)";
        problems.push({ source: path, line, message: message + effect });
      }
      for (const entry of file.inForce?.resources ?? []) {
        const claims = rows.get(entry.kind)!;
        const key = resourceKey(entry.resource);
        const first = claims.get(key);
        if (first) problems.push(duplicate({ path, entry }, key, first));
        else claims.set(key, { path, entry });
      }
    }
    for (const [kind, claims] of rows) {
      const table = this.tables[kind] as Table<Resource>;
      table.replace(claims.values().map(({ entry }) => entry.resource));
      // one that says the same as before is there once, not twice
      for (const [key, { entry }] of claims) {
        entry.resource = table.get(key) as typeof entry.resource;
      }
    }
    this.tables.problems.replace(problems);
  }
}

function duplicate({ path, entry: { kind, resource, line } }: Claim, key: string, first: Claim) {
  const { namespace, name } = resource.metadata;
  const owner = `${first.path}:${first.entry.line}`;
  return {
    source: path,
    object: { kind, namespace, name },
    line,
    reason: "Duplicate",
    message: `${kind} ${key} is in ${owner} already, and that one is used; remove one`,
  };
}
