/**
 * The source of those who run pilus without an API server: a directory of Kubernetes manifests,
 * watched. A file that is wrong is reported, and its last good version stays in force, over
 * restarts too.
 */

import { createHash } from "node:crypto";
import { join } from "@std/path";
import { type Resource, resourceKey, type ResourceKind } from "../../kubernetes/resources.ts";
import type { Problem } from "../../core/problem.ts";
import type { ResourceTables } from "../../kubernetes/resource_tables.ts";
import type { Table } from "../../core/table.ts";
import { KINDS } from "../../kubernetes/kinds.ts";
import { type Manifest, type ManifestResource, parseManifest } from "../../kubernetes/manifest.ts";
import { PUBLISHED, writeAtomically } from "../../cluster/files/published.ts";

/** Options for a {@linkcode FileSource}. */
export interface FileSourceOptions {
  /** Read with all below it; made when it is not there. */
  directory: string;
  /** Where the last good versions are kept: of this node alone. */
  stateDirectory: string;
  tables: ResourceTables;
  /**
   * Milliseconds between full scans, which find what the watch has missed.
   *
   * @default {10_000}
   */
  rescanMs?: number;
  /**
   * Milliseconds from the first sign of a change to the scan, so that a burst is one scan.
   *
   * @default {20}
   */
  settleMs?: number;
}

/** How the source fares. */
export interface FileSourceStatus {
  directory: string;
  files: number;
  resources: number;
  /** Resources of kinds that pilus does not read, by `apiVersion/kind`. */
  ignored: Record<string, number>;
  problems: number;
  lastScan: Date | undefined;
  /** Whether the kernel tells of changes; if not, the full scans find them. */
  watching: boolean;
}

/** A file as it was read. */
interface KnownFile {
  signature: string;
  /** What is in force: this version's, or an earlier one's while this one is wrong. */
  inForce: Manifest | undefined;
  problems: Manifest["problems"];
}

/** See the module. Dispose of it to stop watching; the tables stay as they are. */
export class FileSource implements AsyncDisposable {
  #directory: string;
  #lastGood: string;
  #tables: ResourceTables;
  #rescanMs: number;
  #settleMs: number;
  #files = new Map<string, KnownFile>();
  /** Paths that the watch named: read again even when they look unchanged. */
  #touched = new Set<string>();
  #scanning: Promise<void> = Promise.resolve();
  #settleTimer: number | undefined;
  #rescanTimer: number | undefined;
  #watcher: Deno.FsWatcher | undefined;
  #watching: Promise<void> | undefined;
  #stopped = false;
  #lastScan: Date | undefined;
  #failure: string | undefined;
  /** Whether the tables do not say yet what the files do. */
  #changed = true;

  constructor(options: FileSourceOptions) {
    this.#directory = options.directory;
    this.#lastGood = join(options.stateDirectory, "manifests");
    this.#tables = options.tables;
    this.#rescanMs = options.rescanMs ?? 10_000;
    this.#settleMs = options.settleMs ?? 20;
  }

  /** Fills the tables and watches from then on. Resolves when the tables are complete. */
  async start(): Promise<void> {
    await Deno.mkdir(this.#directory, { recursive: true });
    await Deno.mkdir(this.#lastGood, { recursive: true, mode: 0o700 });
    this.#startWatch();
    await this.scan();
    await this.#pruneLastGood();
    this.#rescanTimer = setInterval(() => void this.#rescan(), this.#rescanMs);
  }

  /** Reads what has changed and brings the tables up to date. */
  scan(): Promise<void> {
    const next = this.#scanning.then(() => this.#stopped ? undefined : this.#scan());
    this.#scanning = next.catch(() => {});
    return next;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#settleTimer);
    clearInterval(this.#rescanTimer);
    this.#watcher?.close();
    await this.#watching;
    await this.#scanning;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  status(): FileSourceStatus {
    const ignored: Record<string, number> = {};
    let resources = 0;
    for (const { inForce } of this.#files.values()) {
      resources += inForce?.resources.length ?? 0;
      for (const [kind, count] of inForce?.ignored ?? []) {
        ignored[kind] = (ignored[kind] ?? 0) + count;
      }
    }
    return {
      directory: this.#directory,
      files: this.#files.size,
      resources,
      ignored,
      problems: this.#tables.problems.size,
      lastScan: this.#lastScan,
      watching: this.#watcher !== undefined,
    };
  }

  #startWatch(): void {
    try {
      this.#watcher = Deno.watchFs(this.#directory, { recursive: true });
    } catch {
      return;
    }
    const watcher = this.#watcher;
    this.#watching = (async () => {
      try {
        for await (const event of watcher) {
          if (event.kind === "access") continue;
          for (const path of event.paths) this.#touched.add(path);
          this.#settleTimer ??= setTimeout(() => {
            this.#settleTimer = undefined;
            void this.scan();
          }, this.#settleMs);
        }
      } catch {
        // The full scans go on, and the next one starts a new watch.
      }
      if (this.#watcher === watcher) this.#watcher = undefined;
    })();
  }

  async #rescan(): Promise<void> {
    if (!this.#watcher && !this.#stopped) this.#startWatch();
    await this.scan();
  }

  async #scan(): Promise<void> {
    const touched = this.#touched;
    this.#touched = new Set();
    const found: string[] = [];
    try {
      await this.#list("", found);
      this.#fail(undefined);
    } catch (error) {
      this.#fail(`cannot read the directory, so nothing in it is taken over: ${error}`);
      this.#publish();
      return;
    }
    const present = new Set(found);
    for (const path of this.#files.keys()) {
      if (present.has(path)) continue;
      this.#files.delete(path);
      this.#changed = true;
      await this.#forget(path);
    }
    for (const path of found) await this.#read(path, touched.has(join(this.#directory, path)));
    this.#publish();
    this.#lastScan = new Date();
  }

  #fail(failure: string | undefined): void {
    if (failure !== this.#failure) this.#changed = true;
    this.#failure = failure;
  }

  #know(path: string, file: KnownFile): void {
    this.#files.set(path, file);
    this.#changed = true;
  }

  /** The manifests below `folder`, a path within the directory. Hidden files are not looked at. */
  async #list(folder: string, found: string[]): Promise<void> {
    const names: string[] = [];
    try {
      for await (const entry of Deno.readDir(join(this.#directory, folder))) names.push(entry.name);
    } catch (error) {
      if (folder === "" || !(error instanceof Deno.errors.NotFound)) throw error;
    }
    for (const name of names.sort()) {
      if (name.startsWith(".") && !(folder === "" && name === PUBLISHED)) continue;
      const path = folder === "" ? name : `${folder}/${name}`;
      if (/\.(ya?ml|json)$/.test(name)) {
        found.push(path);
        continue;
      }
      const info = await Deno.stat(join(this.#directory, path)).catch(() => undefined);
      if (info?.isDirectory) await this.#list(path, found);
    }
  }

  async #read(path: string, touched: boolean): Promise<void> {
    const known = this.#files.get(path);
    let signature: string;
    let text: string;
    try {
      const info = await Deno.stat(join(this.#directory, path));
      if (!info.isFile) return;
      signature = [info.mtime?.getTime(), info.ctime?.getTime(), info.size, info.ino].join();
      if (known?.signature === signature && !touched) return;
      text = await Deno.readTextFile(join(this.#directory, path));
    } catch (error) {
      // Gone since the listing: the next scan deals with it.
      if (error instanceof Deno.errors.NotFound && !known) return;
      const problems = [{ line: 1, message: `cannot be read: ${error}` }];
      this.#know(path, { signature: "", inForce: known?.inForce, problems });
      return;
    }
    const manifest = parseManifest(text);
    if (manifest.problems.length === 0) {
      this.#know(path, { signature, inForce: manifest, problems: [] });
      await this.#remember(path, text);
      return;
    }
    const inForce = known?.inForce ?? await this.#recall(path);
    this.#know(path, { signature, inForce, problems: manifest.problems });
  }

  /** Where the last good version of a file is kept; nowhere for what nodes publish themselves. */
  #lastGoodPath(path: string): string | undefined {
    if (path.startsWith(`${PUBLISHED}/`)) return undefined;
    return join(this.#lastGood, createHash("sha256").update(path).digest("hex"));
  }

  async #remember(path: string, text: string): Promise<void> {
    const copy = this.#lastGoodPath(path);
    if (copy === undefined) return;
    const old = await Deno.readTextFile(copy).catch(() => undefined);
    if (old !== text) writeAtomically(copy, text);
  }

  async #recall(path: string): Promise<Manifest | undefined> {
    const copy = this.#lastGoodPath(path);
    const text = copy && await Deno.readTextFile(copy).catch(() => undefined);
    if (!text) return undefined;
    const manifest = parseManifest(text);
    return manifest.problems.length === 0 ? manifest : undefined;
  }

  async #forget(path: string): Promise<void> {
    const copy = this.#lastGoodPath(path);
    if (copy !== undefined) await Deno.remove(copy).catch(() => {});
  }

  async #pruneLastGood(): Promise<void> {
    const kept = new Set([...this.#files.keys()].map((path) => this.#lastGoodPath(path)));
    for await (const { name } of Deno.readDir(this.#lastGood)) {
      const copy = join(this.#lastGood, name);
      if (!kept.has(copy)) await Deno.remove(copy).catch(() => {});
    }
  }

  /** Makes the tables what the files in force say. */
  #publish(): void {
    if (!this.#changed) return;
    this.#changed = false;
    const problems: Problem[] = [];
    const rows = new Map<ResourceKind, Map<string, Claim>>();
    for (const kind of Object.keys(KINDS) as ResourceKind[]) rows.set(kind, new Map());
    if (this.#failure !== undefined) {
      problems.push({ source: this.#directory, message: this.#failure });
    }
    for (const [path, file] of [...this.#files].sort(([a], [b]) => a < b ? -1 : 1)) {
      for (const { line, message } of file.problems) {
        const effect = file.inForce
          ? " (the last good version of the file stays in force)"
          : " (nothing of the file is in force)";
        problems.push({ source: path, line, message: message + effect });
      }
      for (const entry of file.inForce?.resources ?? []) {
        const { kind, line } = entry;
        const key = resourceKey(entry.resource);
        const first = rows.get(kind)!.get(key);
        if (first) {
          const owner = `${first.path}:${first.entry.line}`;
          problems.push({
            source: path,
            line,
            message: `${kind} ${key} is in ${owner} already, and that one is used; remove one`,
          });
        } else {
          rows.get(kind)!.set(key, { path, entry });
        }
      }
    }
    for (const [kind, claims] of rows) {
      const table = this.#tables[kind] as Table<Resource>;
      table.replace(claims.values().map(({ entry }) => entry.resource));
      // one that says the same as before is there once, not twice
      for (const [key, { entry }] of claims) {
        entry.resource = table.get(key) as typeof entry.resource;
      }
    }
    this.#tables.problems.replace(problems);
  }
}

/** A resource and the file that it is of. */
interface Claim {
  path: string;
  entry: ManifestResource;
}
