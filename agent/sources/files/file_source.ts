/**
 * The source of those who run pilus without an API server: a directory of Kubernetes manifests,
 * watched. What is in force of each file, and until when, its {@linkcode ManifestFile} says.
 */

import { join } from "@std/path";
import type { Problem } from "../../core/problem.ts";
import { Runner } from "../../core/runner.ts";
import { TimeSlice } from "../../core/time_slice.ts";
import type { Timer } from "../../core/timer.ts";
import { type FileVersion, WatchedDirectory } from "../../core/watched_directory.ts";
import { createResourceTables } from "../../kubernetes/resource_tables.ts";
import type { ResourceSource } from "../resource_source.ts";
import { LastGood } from "./last_good.ts";
import { type FileContext, ManifestFile } from "./manifest_file.ts";
import { ManifestReader } from "./manifest_reader.ts";
import { publish } from "./publication.ts";

/** The most bytes of one file. */
const MAX_BYTES = 16 * 1024 * 1024;

/** Milliseconds between looks at files that are not decided upon. */
const LOOK_MS = 100;

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

/** See the module. */
export class FileSource implements ResourceSource {
  readonly name: string;
  readonly tables = createResourceTables();
  readonly hasAllPods = true;
  readonly #directory: string;
  readonly #watched: WatchedDirectory;
  readonly #lastGood: LastGood;
  readonly #files = new Map<string, ManifestFile>();
  /** Those that are not decided upon. */
  readonly #pending = new Set<ManifestFile>();
  readonly #reader = new ManifestReader();
  readonly #context: FileContext;
  readonly #publisher = new Runner("resources", () => this.#publish());
  #looks: Timer | undefined;
  /** By folder, why it cannot be read. */
  #unreadable: ReadonlyMap<string, unknown> = new Map();
  /** At the start, the files are published when it is known of all what counts. */
  readonly #known = Promise.withResolvers<void>();
  #started = false;
  #stopped = false;
  /** Whether the tables do not say what the files do, and have not been asked to. */
  #changed = true;
  #ignored: ReadonlyMap<string, number> = new Map();

  constructor({ directory, stateDirectory, rescanMs }: FileSourceOptions) {
    this.name = `files:${directory}`;
    this.#directory = directory;
    Deno.mkdirSync(directory, { recursive: true });
    this.#lastGood = new LastGood(join(stateDirectory, "manifests"));
    this.#context = {
      reader: this.#reader,
      lastGood: this.#lastGood,
      twinOf: (hash) => this.#files.values().find((file) => file.hash === hash)?.inForce,
      onChange: () => this.#changed = true,
    };
    this.#watched = new WatchedDirectory({
      directory,
      followLinks: true,
      maxBytes: MAX_BYTES,
      ...(rescanMs === undefined ? {} : { rescanMs }),
      onChanged: (path, text, version) => {
        this.#change(path, (file) => file.see(text, this.#stillMs(version)));
      },
      onUnreadable: (path, error) => this.#change(path, (file) => file.seeFault(error)),
      onGone: (path) => this.#change(path, (file) => file.lose()),
      onScanned: (unreadable) => this.#finishScan(unreadable),
    });
  }

  get ignored(): ReadonlyMap<string, number> {
    return this.#ignored;
  }

  async start(): Promise<void> {
    await this.#watched.start();
    await this.#recallLost();
    this.#look();
    await this.#known.promise;
    this.#started = true;
    this.#publishChanges();
    await this.#publisher.idle();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#looks);
    for (const file of this.#files.values()) file[Symbol.dispose]();
    this.#reader[Symbol.dispose]();
    this.#known.resolve();
    await this.#watched.stop();
    await this.#publisher.stop();
  }

  /** Files that were in force before a restart, and which the first scan has not found. */
  async #recallLost(): Promise<void> {
    const lost = [...this.#lastGood.pathsBut(this.#files.keys())];
    const slice = new TimeSlice();
    for (const path of lost) {
      this.#change(path, (file) => file.recall());
      this.#watched.expect(path);
      if (slice.over) await slice.next();
    }
    // those whose folder can be read are gone
    if (lost.length > 0) await this.#watched.scan();
  }

  /** While the agent runs, others' clocks do not count. */
  #stillMs({ renamed, age }: FileVersion): number {
    return renamed ? Infinity : this.#started ? 0 : Math.max(0, age);
  }

  #change(path: string, change: (file: ManifestFile) => Promise<unknown> | undefined): void {
    let file = this.#files.get(path);
    if (!file) {
      file = new ManifestFile(path, this.#context);
      this.#files.set(path, file);
      this.#changed = true;
    }
    void change(file)?.then(() => this.#look());
    if (file.removed) this.#files.delete(path);
    else if (file.pending) this.#pending.add(file);
    if (this.#pending.size > 0) this.#lookLater();
  }

  #lookLater(): void {
    if (this.#stopped) return;
    this.#looks ??= setTimeout(() => {
      this.#looks = undefined;
      this.#look();
    }, LOOK_MS);
  }

  /** Takes over what counts by now. */
  #look(): void {
    if (this.#stopped) return;
    const now = performance.now();
    for (const file of this.#pending) {
      file.advance(now);
      if (file.removed) this.#files.delete(file.path);
      if (!file.pending) this.#pending.delete(file);
    }
    if (this.#pending.size > 0) this.#lookLater();
    this.#publishChanges();
    if (this.#started) return;
    if (!this.#files.values().some((file) => file.unknown)) this.#known.resolve();
  }

  #finishScan(unreadable: ReadonlyMap<string, unknown>): void {
    if (unreadable.size > 0 || this.#unreadable.size > 0) this.#changed = true;
    this.#unreadable = unreadable;
    this.#publishChanges();
  }

  #publishChanges(): void {
    if (!this.#started || !this.#changed) return;
    this.#changed = false;
    this.#publisher.request();
  }

  async #publish(): Promise<void> {
    const problems: Problem[] = Array.from(this.#unreadable, ([folder, error]) => ({
      source: folder === "" ? this.#directory : folder,
      message: `cannot be read, and what was in force of it stays: ${error}`,
    }));
    this.#ignored = await publish([...this.#files.values()], problems, this.tables);
  }
}
