/** The files of a directory and all below it, read again when they change. */

import { join, resolve } from "@std/path";
import { readBounded } from "./bounded_file.ts";
import { HeldPipes } from "./held_pipes.ts";
import type { Timer } from "./timer.ts";
import { TimeSlice } from "./time_slice.ts";

/** How a file came to be what it is. */
export interface FileVersion {
  /** It was written elsewhere and renamed into place, and not written since, so that it is whole. */
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
  /**
   * After each scan; `unreadable`: the folders that cannot be read, "" for the directory itself, and why.
   * Files below them are neither read nor gone.
   */
  onScanned: (unreadable: ReadonlyMap<string, unknown>) => void;
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

/** Milliseconds that a notice may be behind one of something earlier, on a machine that is busy. */
const NOTICE_MS = 40;

/** Notices of one burst that runtimes keep; older ones lose the others without a word. */
const MAX_NOTICES = 15;

/** A notice that something was renamed to a path. */
interface Rename {
  /** What was there then. */
  signature: string;
  /** By `performance.now()`. */
  at: number;
}

/** See the module. Dispose of it to stop watching. */
export class WatchedDirectory implements AsyncDisposable {
  readonly #options: WatchedDirectoryOptions;
  readonly #pipes: HeldPipes;
  /** By path, what tells one version of a file from another; empty for one that could not be read. */
  readonly #signatures = new Map<string, string>();
  /** Paths that the watch named: read again even when they look unchanged. */
  #touched = new Set<string>();
  /** By path, what was renamed to it since, and not written after that. */
  readonly #renamed = new Map<string, Rename>();
  /** Since the last scan. */
  #notices = 0;
  #scanning: Promise<void> = Promise.resolve();
  #settleTimer: Timer | undefined;
  #rescanTimer: Timer | undefined;
  #watcher: Deno.FsWatcher | undefined;
  #watching: Promise<void> | undefined;
  #stopped = false;

  constructor(options: WatchedDirectoryOptions) {
    const directory = resolve(options.directory);
    this.#options = { ...options, directory };
    this.#pipes = new HeldPipes(directory);
  }

  /** Reads the files and watches from then on. Resolves when all have been read. */
  async start(): Promise<void> {
    this.#pipes.refresh();
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

  /** A file that was there before the start: it is gone when no scan finds it. */
  expect(path: string): void {
    if (!this.#signatures.has(path)) this.#signatures.set(path, "");
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#settleTimer);
    clearInterval(this.#rescanTimer);
    using pipes = this.#pipes;
    pipes.refresh();
    this.#watcher?.close();
    await this.#watching;
    await this.#scanning;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  #startWatch(): void {
    const { directory } = this.#options;
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
          this.#notices++;
          // some were lost
          if (event.flag === "rescan") this.#notices += MAX_NOTICES;
          const paths = event.kind === "access" ? [] : event.paths.filter(seen);
          if (paths.length === 0) continue;
          for (const path of paths) {
            this.#touched.add(path);
            if (event.kind === "rename") this.#noteRename(path);
            else this.#renamed.delete(path);
          }
          this.#scanSoon();
        }
      } catch {
        // The full scans go on, and the next one starts a new watch.
      }
      if (this.#watcher === watcher) this.#watcher = undefined;
    })();
  }

  #scanSoon(ms = this.#options.settleMs ?? 20): void {
    if (this.#stopped) return;
    this.#settleTimer ??= setTimeout(() => {
      this.#settleTimer = undefined;
      void this.scan();
    }, ms);
  }

  #noteRename(path: string): void {
    try {
      // of a link that is renamed, what it leads to may be in the making
      const signature = signatureOf(Deno.lstatSync(path));
      this.#renamed.set(path, { signature, at: performance.now() });
    } catch { // it was renamed away
      this.#renamed.delete(path);
    }
  }

  /** Signatures of what was renamed into place. Of what was a moment ago, a later scan tells. */
  #takeRenamed(): Map<string, string> {
    const taken = new Map<string, string>();
    // a notice of what was written after the rename may be among those that were lost
    if (this.#notices > MAX_NOTICES) this.#renamed.clear();
    this.#notices = 0;
    const now = performance.now();
    for (const [path, { signature, at }] of this.#renamed) {
      if (now - at < NOTICE_MS) {
        this.#scanSoon(NOTICE_MS - (now - at));
        continue;
      }
      this.#renamed.delete(path);
      taken.set(path, signature);
    }
    return taken;
  }

  async #rescan(): Promise<void> {
    this.#pipes.refresh();
    if (!this.#watcher && !this.#stopped) this.#startWatch();
    await this.scan();
  }

  async #scan(): Promise<void> {
    const { directory, onGone, onScanned } = this.#options;
    const touched = this.#touched;
    this.#touched = new Set();
    const renamed = this.#takeRenamed();
    const found: string[] = [];
    const unreadable = new Map<string, unknown>();
    this.#list("", found, unreadable, new Set());
    const present = new Set(found);
    const folders = [...unreadable.keys()];
    for (const path of this.#signatures.keys()) {
      if (present.has(path) || folders.some((folder) => isBelow(path, folder))) continue;
      this.#signatures.delete(path);
      onGone(path);
    }
    const slice = new TimeSlice();
    for (const path of found) {
      const full = `${directory}/${path}`;
      this.#read(path, full, touched.has(full), renamed.get(full));
      if (!slice.over) continue;
      await slice.next();
      if (this.#stopped) return;
    }
    onScanned(unreadable);
  }

  /** The files below `folder`; `visited` has the directories that were gone through. */
  #list(
    folder: string,
    found: string[],
    unreadable: Map<string, unknown>,
    visited: Set<string>,
  ): void {
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
      const removed = folder !== "" && !isThere(join(directory, folder));
      if (!removed) unreadable.set(folder, error);
      return;
    }
    for (const entry of entries.sort((a, b) => a.name < b.name ? -1 : 1)) {
      if (entry.isSymlink && !followLinks) continue;
      const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
      if (entry.isDirectory || entry.isSymlink && this.#leadsToFolder(path, unreadable)) {
        this.#list(path, found, unreadable, visited);
      } else if (FILE.test(entry.name)) found.push(path);
    }
  }

  /** Whether a link leads to a directory; one that cannot be followed may be one. */
  #leadsToFolder(path: string, unreadable: Map<string, unknown>): boolean {
    try {
      return Deno.statSync(join(this.#options.directory, path)).isDirectory;
    } catch (error) {
      const toNothing = error instanceof Deno.errors.NotFound;
      const wasFolder = this.#signatures.keys().some((known) => isBelow(known, path));
      if (wasFolder || !toNothing && !FILE.test(path)) unreadable.set(path, error);
      return false;
    }
  }

  /** `renamed`: what was renamed into place. */
  #read(path: string, full: string, touched: boolean, renamed: string | undefined): void {
    const { followLinks, maxBytes, onChanged, onUnreadable, onGone } = this.#options;
    const known = this.#signatures.get(path);
    try {
      const info = followLinks ? Deno.statSync(full) : Deno.lstatSync(full);
      if (!info.isFile) throw new Error("it is no regular file");
      const signature = signatureOf(info);
      if (known === signature && !touched && renamed === undefined) return;
      this.#signatures.set(path, signature);
      const age = Date.now() - lastChange(info);
      const text = readBounded(full, { maxBytes, followLinks, info });
      onChanged(path, text, { renamed: renamed === signature, age });
    } catch (error) {
      if (isThere(full)) {
        this.#signatures.set(path, "");
        onUnreadable(path, error);
      } else if (this.#signatures.delete(path)) onGone(path);
    }
  }
}

/** What tells one version of a file from another. */
function signatureOf({ mtime, ctime, size, dev, ino }: Deno.FileInfo): string {
  return `${mtime?.getTime()},${ctime?.getTime()},${size},${dev},${ino}`;
}

/** When a file was changed, in milliseconds. Who writes may choose the one time; the other is in whole seconds. */
function lastChange({ mtime, ctime }: Deno.FileInfo): number {
  const written = mtime?.getTime() ?? 0, changed = ctime?.getTime() ?? 0;
  return written >= changed ? written : changed + 999;
}

/** Whether the path is below the folder, by their names. */
function isBelow(path: string, folder: string): boolean {
  return folder === "" || path.startsWith(`${folder}/`);
}

/** Whether there is something at the path, if only a link that leads nowhere. */
function isThere(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch (error) {
    return !(error instanceof Deno.errors.NotFound);
  }
}
