/**
 * A file of manifests: what stands there, and what of it is in force. Who writes a file in place empties
 * it first and then has a part of it there, and a part of a policy may open what the whole denies. So
 * what is in force stays until a version without a fault is whole: it was renamed into place, or the
 * file has been still for a second. That the file is gone is a version, too.
 */

import type { DocumentProblem } from "../../kubernetes/parsed_document.ts";
import type { Manifest } from "../../kubernetes/manifest.ts";
import { type GoodVersion, type LastGood, textHash } from "./last_good.ts";
import type { ManifestReader } from "./manifest_reader.ts";

/** Milliseconds that a file must be still. */
export const STILL_MS = 1000;

/** Milliseconds after which a version that does not count yet is a problem. */
const LATE_MS = 2000;

/** Milliseconds after which nothing waits any more for a file that does not come to rest. */
const PATIENCE_MS = 10_000;

/** What the files of a directory have in common. */
export interface FileContext {
  reader: ManifestReader;
  lastGood: LastGood;
  /** The manifest of another file, or an earlier path of this one, that has the same text. */
  twinOf: (hash: string) => Manifest | undefined;
  /** What is in force, or wrong, is not what it was. */
  onChange: () => void;
}

/** What was seen at the path last and does not count yet. */
interface Version {
  /** Undefined: the file is gone. */
  content: GoodVersion | undefined;
  /** Since when the file is still, by `performance.now()`; -Infinity when it is whole in any case. */
  since: number;
  /** Undefined while it is read. */
  manifest: Manifest | undefined;
  reading: AbortController;
}

/** See the module. Disposing ends what is being read. */
export class ManifestFile implements Disposable {
  readonly path: string;
  readonly #context: FileContext;
  #inForce: Manifest | undefined;
  /** Of the text in force. */
  #hash: string | undefined;
  #problems: readonly DocumentProblem[] = [];
  /** Why the version in force would not be there after a restart. */
  #unkept: string | undefined;
  #next: Version | undefined;
  /** Since when what stands there is not what counts; undefined when it is, or cannot be. */
  #since: number | undefined;
  /** Whether versions have taken each other's place since. */
  #replaced = false;
  /** Whether the last good version has been asked for. */
  #begun = false;
  #recalling = false;
  /** How long the version has been waited for, as it counts for others. */
  #delay: "none" | "late" | "too long" = "none";
  #removed = false;

  constructor(path: string, context: FileContext) {
    this.path = path;
    this.#context = context;
  }

  get inForce(): Manifest | undefined {
    return this.#inForce;
  }

  get hash(): string | undefined {
    return this.#hash;
  }

  get problems(): readonly DocumentProblem[] {
    return this.#problems;
  }

  get unkept(): string | undefined {
    return this.#unkept;
  }

  /** There is no file; what it had is in force for a moment. */
  get gone(): boolean {
    return this.#next !== undefined && this.#next.content === undefined;
  }

  /** It is gone for good. */
  get removed(): boolean {
    return this.#removed;
  }

  /** A version without a fault that will count when the file stays as it is. */
  get expected(): Manifest | undefined {
    const manifest = this.#next?.manifest;
    return manifest?.problems.length === 0 ? manifest : undefined;
  }

  /** A version is being read, and it is worth waiting for what it says. */
  get reading(): boolean {
    const next = this.#next;
    return next?.content !== undefined && !next.manifest && this.#delay !== "too long";
  }

  /** Whether {@linkcode ManifestFile.advance} has something to do. */
  get pending(): boolean {
    return this.#next !== undefined;
  }

  /**
   * Whether what should be in force is not known yet, for an agent that starts: what it does once only
   * is by the files as they are then, not as they were when it ended.
   */
  get unknown(): boolean {
    if (this.#recalling) return true;
    if (!this.#next || this.gone) return false;
    // what does not come to rest is not waited for without end
    return !(this.#replaced && (this.#inForce || this.#delay === "too long"));
  }

  /**
   * The file has this text, and has been still for `stillMs` milliseconds. Resolves when it has been
   * read; undefined when that has been done already.
   */
  see(text: string, stillMs: number): Promise<unknown> | undefined {
    const hash = textHash(text);
    const last = this.#begin();
    const recalling = last && this.#recall(last);
    if (hash === this.#hash) {
      this.#decide([]);
      return undefined;
    }
    const since = performance.now() - stillMs;
    if (this.#next?.content?.hash === hash) {
      // written anew, it is as it was
      this.#next.since = Math.min(this.#next.since, since);
      this.advance();
      return undefined;
    }
    const version = this.#wait({ text, hash }, since);
    const { reader, twinOf } = this.#context;
    const { signal } = version.reading;
    const take = (manifest: Manifest) => {
      if (signal.aborted) return;
      version.manifest = manifest;
      this.#context.onChange();
      this.advance();
    };
    if (last?.hash === hash && recalling) return recalling.then(take);
    const known = reader.readSmall(text) ?? twinOf(hash);
    if (known) take(known);
    else return Promise.all([recalling, reader.read(text, signal).then(take)]);
    return recalling;
  }

  /** The file is there and cannot be read. Resolves as `see` does. */
  seeFault(error: unknown): Promise<unknown> | undefined {
    const recalling = this.recall();
    this.#decide([{ line: 1, message: `cannot be read: ${error}` }]);
    return recalling;
  }

  /** The file is gone. Resolves as `see` does. */
  lose(): Promise<unknown> | undefined {
    const recalling = this.recall();
    this.#wait(undefined, performance.now());
    this.#context.onChange();
    this.advance();
    return recalling;
  }

  /** Begins with what was in force before a restart. Resolves as `see` does. */
  recall(): Promise<unknown> | undefined {
    const last = this.#begin();
    return last && this.#recall(last);
  }

  /** Decides on what stands there, as far as that can be done at this time. */
  advance(now = performance.now()): void {
    const { expected } = this;
    const still = now - (this.#next?.since ?? now) >= STILL_MS;
    const bad = this.#next?.manifest && !expected;
    if (bad) this.#decide(this.#next!.manifest!.problems);
    else if (expected && still) this.#accept(expected);
    else if (this.gone && (still || !this.#inForce && !this.#recalling)) this.#leave();
    else this.#delayed(now);
  }

  [Symbol.dispose](): void {
    this.#next?.reading.abort();
  }

  /** The last good version, for the first who asks. */
  #begin(): GoodVersion | undefined {
    if (this.#begun) return undefined;
    this.#begun = true;
    try {
      return this.#context.lastGood.recall(this.path);
    } catch (error) {
      this.#unkept = `has a last good version that cannot be read: ${error}`;
      return undefined;
    }
  }

  #recall({ text, hash }: GoodVersion): Promise<Manifest> | undefined {
    const take = (manifest: Manifest) => {
      this.#recalling = false;
      if (this.#hash !== undefined || this.#removed || manifest.problems.length > 0) {
        return manifest;
      }
      this.#inForce = manifest;
      this.#hash = hash;
      if (this.#next?.content?.hash === hash) this.#decide([]);
      this.#context.onChange();
      return manifest;
    };
    const { reader, twinOf } = this.#context;
    const known = reader.readSmall(text) ?? twinOf(hash);
    if (known) {
      take(known);
      return undefined;
    }
    this.#recalling = true;
    // versions that come and go do not end it
    return reader.read(text, new AbortController().signal).then(take);
  }

  #wait(content: GoodVersion | undefined, since: number): Version {
    this.#replaced = this.#next !== undefined;
    this.#next?.reading.abort();
    this.#since ??= performance.now();
    this.#next = { content, since, manifest: undefined, reading: new AbortController() };
    return this.#next;
  }

  /** What stands there counts, or has these problems. */
  #decide(problems: readonly DocumentProblem[]): void {
    this.#next?.reading.abort();
    const changed = this.#next !== undefined || !isSame(problems, this.#problems);
    this.#next = undefined;
    this.#since = undefined;
    this.#replaced = false;
    this.#delay = "none";
    this.#problems = problems;
    if (changed) this.#context.onChange();
  }

  #accept(manifest: Manifest): void {
    const version = this.#next!.content!;
    this.#inForce = manifest;
    this.#hash = version.hash;
    this.#decide([]);
    this.#context.onChange();
    try {
      this.#context.lastGood.remember(this.path, version);
      this.#unkept = undefined;
    } catch (error) { // as on a full disk
      this.#unkept = `is in force and would not be after a restart: ${error}`;
    }
  }

  #leave(): void {
    this.#removed = true;
    this.#inForce = undefined;
    this.#unkept = undefined;
    this.#decide([]);
    this.#context.lastGood.forget(this.path);
  }

  /** Who looks at the status learns of a version that does not count for longer than a moment. */
  #delayed(now: number): void {
    if (!this.#next || this.#since === undefined) return;
    const ms = now - this.#since;
    const delay = ms >= PATIENCE_MS ? "too long" : ms >= LATE_MS ? "late" : "none";
    if (delay === "none") return;
    const isRead = this.#next.content !== undefined && !this.#next.manifest;
    const message = isRead
      ? "is still being read"
      : "is written again and again, and counts when it has been still for a second; " +
        "write it elsewhere and rename it into place";
    const problems = [{ line: 1, message }];
    if (delay === this.#delay && isSame(problems, this.#problems)) return;
    this.#delay = delay;
    this.#problems = problems;
    this.#context.onChange();
  }
}

function isSame(some: readonly DocumentProblem[], others: readonly DocumentProblem[]): boolean {
  return some.length === others.length && some.every(({ line, message }, i) => {
    const other = others[i]!;
    return line === other.line && message === other.message;
  });
}
