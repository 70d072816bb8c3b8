/**
 * The source of those who run pilus without an API server: a directory of Kubernetes manifests,
 * watched. A file that is wrong is reported, and its last good version stays in force, over
 * restarts too. One that loses resources counts when it has been still for a second, or was renamed
 * into place.
 */

import { join } from "@std/path";
import type { Problem } from "../../core/problem.ts";
import { Runner } from "../../core/runner.ts";
import { type FileVersion, WatchedDirectory } from "../../core/watched_directory.ts";
import type { Manifest, ManifestResource } from "../../kubernetes/manifest.ts";
import { createResourceTables } from "../../kubernetes/resource_tables.ts";
import { resourceKey } from "../../kubernetes/resources.ts";
import type { ResourceSource } from "../resource_source.ts";
import { ManifestReader } from "./manifest_reader.ts";
import { LastGood } from "./last_good.ts";
import { type KnownFile, publish } from "./publication.ts";
import { Settling, STILL_MS } from "./settling.ts";

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

/** The reading of a large text. */
interface Reading {
  /** Resolves at its end. */
  done: Promise<void>;
  stop: () => void;
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
  readonly #publisher = new Runner("resources", () => this.#publish());
  /** By path, the reading of its newest version that has not ended. */
  readonly #reading = new Map<string, Reading>();
  /** Why the good version of a file could not be kept, by path. */
  readonly #unkept = new Map<string, string>();
  /** Files that are gone, or have lost resources, a moment ago. */
  readonly #settling = new Settling();
  readonly #gone = new Set<string>();
  #failure: string | undefined;
  /** At the start, the files are published when all have been read. */
  #started = false;
  /** Whether the tables do not say what the files do, and have not been asked to. */
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
      onChanged: (path, text, version) => this.#read(path, text, version),
      onUnreadable: (path, error) => {
        const problems = [{ line: 1, message: `cannot be read: ${error}` }];
        this.#know(path, { inForce: this.#files.get(path)?.inForce, problems });
      },
      onGone: (path) => this.#lose(path),
      onScanned: (failure) => this.#finishScan(failure),
    });
  }

  async start(): Promise<void> {
    await this.#watched.start();
    while (this.#reading.size > 0) {
      await Promise.all(this.#reading.values().map(({ done }) => done));
      // a file that was replaced meanwhile counts too
      await this.#watched.scan();
    }
    // what a scan has read, which has not ended
    this.#started = true;
    this.#publishChanges();
    await this.#publisher.idle();
    this.#lastGood.prune(this.#files.keys());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const path of [...this.#reading.keys()]) this.#stopReading(path);
    this.#settling[Symbol.dispose]();
    this.#reader[Symbol.dispose]();
    await this.#watched.stop();
    await this.#publisher.stop();
  }

  #know(path: string, file: KnownFile): void {
    this.#files.set(path, file);
    this.#changed = true;
  }

  /** A file is gone; another one that has its resources holds at once. */
  #lose(path: string): void {
    this.#stopReading(path);
    this.#unkept.delete(path);
    this.#gone.add(path);
    this.#changed = true;
    this.#settling.wait(path, () => {
      this.#gone.delete(path);
      this.#files.delete(path);
      this.#lastGood.forget(path);
      this.#changed = true;
      this.#publishChanges();
    });
  }

  #read(path: string, text: string, version: FileVersion): void {
    this.#stopReading(path);
    this.#settling.cancel(path);
    this.#gone.delete(path);
    const { renamed, age } = version;
    const read = () => {
      const take = (manifest: Manifest) => this.#take(path, text, manifest, renamed);
      const manifest = this.#reader.readSmall(text);
      if (manifest) take(manifest);
      else this.#readLater(path, text, take);
    };
    // over a restart, a file in the making is held against what was in force
    if (!this.#files.has(path) && !renamed && age < STILL_MS) this.#recall(path, [], read);
    else read();
  }

  /** Reads a large text; what comes of it counts unless the file is another one by then. */
  #readLater(path: string, text: string, take: (manifest: Manifest) => void): void {
    const aborting = new AbortController();
    const { promise: done, resolve } = Promise.withResolvers<void>();
    const stop = () => {
      aborting.abort();
      resolve();
    };
    this.#reading.set(path, { done, stop });
    void this.#reader.read(text, aborting.signal).then((manifest) => {
      if (aborting.signal.aborted) return;
      this.#reading.delete(path);
      take(manifest);
      this.#publishChanges();
      resolve();
    });
  }

  #stopReading(path: string): void {
    this.#reading.get(path)?.stop();
    this.#reading.delete(path);
  }

  /** `whole`: the file is not in the making. */
  #take(path: string, text: string, manifest: Manifest, whole: boolean): void {
    const { problems } = manifest;
    const inForce = this.#files.get(path)?.inForce;
    if (problems.length > 0) {
      this.#know(path, { inForce, problems });
      if (!inForce) this.#recall(path, problems);
    } else if (whole || !losesResources(inForce, manifest)) {
      this.#know(path, { inForce: manifest, problems });
      this.#remember(path, text);
    } else {
      this.#settling.wait(path, () => {
        this.#take(path, text, manifest, true);
        this.#publishChanges();
      });
    }
  }

  /** Puts the last good version of the file in force, if there is one, and goes on. */
  #recall(path: string, problems: Manifest["problems"], then = () => {}): void {
    const last = this.#lastGood.recall(path);
    if (last === undefined) return then();
    const take = (manifest: Manifest) => {
      if (manifest.problems.length === 0) this.#know(path, { inForce: manifest, problems });
      then();
    };
    const small = this.#reader.readSmall(last);
    if (small) take(small);
    else this.#readLater(path, last, take);
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
    if (!this.#started || !this.#changed) return;
    this.#changed = false;
    this.#publisher.request();
  }

  #publish(): Promise<void> {
    const problems: Problem[] = [];
    if (this.#failure !== undefined) {
      problems.push({ source: this.#directory, message: this.#failure });
    }
    for (const [source, message] of this.#unkept) problems.push({ source, message });
    const files = Array.from(
      this.#files,
      ([path, file]) => ({ ...file, path, gone: this.#gone.has(path) }),
    );
    return publish(files, problems, this.tables);
  }
}

/** Whether something that is in force is not there any more. */
function losesResources(inForce: Manifest | undefined, now: Manifest): boolean {
  if (!inForce) return false;
  const keyOf = ({ kind, resource }: ManifestResource) => `${kind} ${resourceKey(resource)}`;
  const there = new Set(now.resources.map(keyOf));
  return inForce.resources.some((entry) => !there.has(keyOf(entry)));
}
