/** The files of a directory and all below it, read again when they change. */

import { join, resolve } from "@std/path";
import { readBounded } from "./bounded_file.ts";
import type { Timer } from "./timer.ts";
import { TimeSlice } from "./time_slice.ts";

/** How a file came to be what it is. */
export interface FileVersion {
  /** It was written elsewhere and renamed into place, so that it is whole. */
  renamed: boolean;
  /** Milliseconds since it was last written. */
  age: number;
}

/** Options for a {@linkcode WatchedDirectory}. Paths are relative to the directory. */
export interface WatchedDirectoryOptions {
  directory: string;
  /** Whether links are followed, and what they lead to is read. */
  followLinks: boolean;
  /** A larger file counts as one that cannot be read. */
  maxBytes: number;
  /** For a file that is new or has changed. */
  onChanged: (path: string, text: string, version: FileVersion) => void;
  /** For a file that is there and cannot be read; it is tried again at each scan. */
  onUnreadable: (path: string, error: unknown) => void;
  onGone: (path: string) => void;
  /** After each scan; `failure`: why the directory cannot be read, so that no file was looked at. */
  onScanned: (failure: string | undefined) => void;
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

/** Manifests by their names; hidden files are not looked at. */
const FILE = /^[^.].*\.(ya?ml|json)$/;

/** See the module. Dispose of it to stop watching. */
export class WatchedDirectory implements AsyncDisposable {
  readonly #options: WatchedDirectoryOptions;
  /** By path, what tells one version of a file from another; empty for one that could not be read. */
  readonly #signatures = new Map<string, string>();
  /** Paths that the watch named: read again even when they look unchanged. */
  #touched = new Set<string>();
  /** Paths to which something was renamed since. */
  #renamed = new Set<string>();
  #scanning: Promise<void> = Promise.resolve();
  #settleTimer: Timer | undefined;
  #rescanTimer: Timer | undefined;
  #watcher: Deno.FsWatcher | undefined;
  #watching: Promise<void> | undefined;
  #stopped = false;

  constructor(options: WatchedDirectoryOptions) {
    this.#options = { ...options, directory: resolve(options.directory) };
  }

  /** Reads the files and watches from then on. Resolves when all have been read. */
  async start(): Promise<void> {
    this.#startWatch();
    await this.scan();
    const { rescanMs = 10_000 } = this.#options;
    this.#rescanTimer = setInterval(() => void this.#rescan(), rescanMs);
  }

  /** Reads what has changed. */
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

  #startWatch(): void {
    const { directory, settleMs = 20 } = this.#options;
    try {
      this.#watcher = Deno.watchFs(directory, { recursive: true });
    } catch {
      return;
    }
    const watcher = this.#watcher;
    const seen = (path: string) => !path.slice(directory.length).includes("/.");
    this.#watching = (async () => {
      try {
        for await (const event of watcher) {
          const paths = event.kind === "access" ? [] : event.paths.filter(seen);
          if (paths.length === 0) continue;
          for (const path of paths) {
            this.#touched.add(path);
            // what is written after the rename is in place again
            if (event.kind === "rename") this.#renamed.add(path);
            else this.#renamed.delete(path);
          }
          this.#settleTimer ??= setTimeout(() => {
            this.#settleTimer = undefined;
            void this.scan();
          }, settleMs);
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
    const { directory, onGone, onScanned } = this.#options;
    const touched = this.#touched;
    const renamed = this.#renamed;
    this.#touched = new Set();
    this.#renamed = new Set();
    const found: string[] = [];
    try {
      this.#list("", found, new Set());
    } catch (error) {
      onScanned(`cannot read the directory, so nothing in it is taken over: ${error}`);
      return;
    }
    const present = new Set(found);
    for (const path of this.#signatures.keys()) {
      if (present.has(path)) continue;
      this.#signatures.delete(path);
      onGone(path);
    }
    const slice = new TimeSlice();
    for (const path of found) {
      const full = `${directory}/${path}`;
      this.#read(path, full, touched.has(full), renamed.has(full));
      if (!slice.over) continue;
      await slice.next();
      if (this.#stopped) return;
    }
    onScanned(undefined);
  }

  /** The files below `folder`; `visited` has the directories that were gone through. */
  #list(folder: string, found: string[], visited: Set<string>): void {
    const { directory, followLinks } = this.#options;
    const entries: Deno.DirEntry[] = [];
    try {
      const { dev, ino } = Deno.statSync(join(directory, folder));
      if (visited.has(`${dev}:${ino}`)) return;
      visited.add(`${dev}:${ino}`);
      for (const entry of Deno.readDirSync(join(directory, folder))) {
        if (!entry.name.startsWith(".")) entries.push(entry);
      }
    } catch (error) {
      if (folder === "" || !(error instanceof Deno.errors.NotFound)) throw error;
    }
    for (const entry of entries.sort((a, b) => a.name < b.name ? -1 : 1)) {
      if (entry.isSymlink && !followLinks) continue;
      const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
      if (FILE.test(entry.name)) found.push(path);
      else if (entry.isDirectory || entry.isSymlink && isDirectory(join(directory, path))) {
        this.#list(path, found, visited);
      }
    }
  }

  #read(path: string, full: string, touched: boolean, renamed: boolean): void {
    const { followLinks, maxBytes, onChanged, onUnreadable } = this.#options;
    const known = this.#signatures.get(path);
    try {
      const info = followLinks ? Deno.statSync(full) : Deno.lstatSync(full);
      if (!info.isFile) return;
      const { mtime, ctime, size, ino } = info;
      const signature = `${mtime?.getTime()},${ctime?.getTime()},${size},${ino}`;
      if (known === signature && !touched) return;
      this.#signatures.set(path, signature);
      const age = Date.now() - (info.mtime?.getTime() ?? 0);
      onChanged(path, readBounded(full, { maxBytes, followLinks, info }), { renamed, age });
    } catch (error) {
      // Gone since the listing: the next scan deals with it.
      if (error instanceof Deno.errors.NotFound && known === undefined) {
        this.#signatures.delete(path);
        return;
      }
      this.#signatures.set(path, "");
      onUnreadable(path, error);
      return;
    }
  }
}

function isDirectory(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}
