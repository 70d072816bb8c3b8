/**
 * The prefilter's file: sources that the node does not listen to, a prefix a line. The file is
 * watched; a line that is wrong is reported and the others hold. When the file cannot be read, what
 * was in force stays.
 */

import type { Timer } from "../../core/timer.ts";
import { basename, dirname } from "@std/path";
import {
  type Cidr,
  cidrContainsCidr,
  formatCidr,
  maskCidr,
  parseCidr,
  tryParseCidr,
} from "../../../datapath/net/ip.ts";
import { readBounded } from "../../core/bounded_file.ts";
import type { Problem } from "../../core/problem.ts";
import { Table } from "../../core/table.ts";

/** The most bytes of the file: a million prefixes. */
const MAX_BYTES = 64 * 1024 * 1024;

/** A prefix whose packets are dropped before anything else. */
export interface DeniedPrefix {
  /** Host bits are zero. */
  cidr: Cidr;
  /** Of the file, counted from 1; 0 when it is not known. */
  line: number;
}

/** A table of prefixes; a prefix that has only moved to another line is the same. */
export function deniedTable(): Table<DeniedPrefix> {
  return new Table({ name: "prefilter", key: ({ cidr }) => formatCidr(cidr) });
}

/** Both families at once: all IPv4 addresses are mapped into this one. */
const ALL_IPV4 = parseCidr("0.0.0.0/0");

/** The prefixes of the text, each once, and what is wrong with its other lines. */
export function parsePrefilter(
  text: string,
): { prefixes: DeniedPrefix[]; problems: Omit<Problem, "source">[] } {
  const prefixes = new Map<string, DeniedPrefix>();
  const problems: Omit<Problem, "source">[] = [];
  for (const [index, whole] of text.split("\n").entries()) {
    const line = index + 1;
    const words = whole.replace(/#.*/, "").trim();
    if (words === "") continue;
    const cidr = tryParseCidr(words);
    if (!cidr) {
      const message = `not an IPv4 or IPv6 prefix: ${JSON.stringify(words.slice(0, 60))}`;
      problems.push({ line, message });
    } else if (cidrContainsCidr(cidr, ALL_IPV4)) {
      problems.push({ line, message: `${words} would shut everybody out; name what is meant` });
    } else {
      const masked = maskCidr(cidr);
      const key = formatCidr(masked);
      if (!prefixes.has(key)) prefixes.set(key, { cidr: masked, line });
    }
  }
  return { prefixes: [...prefixes.values()], problems };
}

/** Options for {@linkcode PrefilterFile}. */
export interface PrefilterFileOptions {
  path: string;
  output: Table<DeniedPrefix>;
  problems: Table<Problem>;
  /** What is in force when the file cannot be read at the start. */
  before: Iterable<DeniedPrefix>;
  /**
   * Milliseconds between looks that find what the watch has missed.
   *
   * @default {10_000}
   */
  rescanMs?: number;
}

/** See the module. `start` it; dispose of it to stop watching. */
export class PrefilterFile implements AsyncDisposable {
  readonly #options: PrefilterFileOptions;
  #known = false;
  #watcher: Deno.FsWatcher | undefined;
  #watching: Promise<void> | undefined;
  #timer: Timer | undefined;

  constructor(options: PrefilterFileOptions) {
    this.#options = options;
  }

  /** Fills the tables and keeps them so. */
  start(): void {
    this.#watch();
    this.#read();
    this.#timer = setInterval(() => {
      if (!this.#watcher) this.#watch();
      this.#read();
    }, this.#options.rescanMs ?? 10_000);
  }

  /** A file may be replaced by renaming, so it is the folder that is watched. */
  #watch(): void {
    const { path } = this.#options;
    let watcher: Deno.FsWatcher;
    try {
      watcher = Deno.watchFs(dirname(path), { recursive: false });
    } catch {
      return;
    }
    this.#watcher = watcher;
    this.#watching = (async () => {
      try {
        for await (const { kind, paths } of watcher) {
          if (kind !== "access" && paths.some((p) => basename(p) === basename(path))) this.#read();
        }
      } catch {
        // the looks on a timer go on, and start a new watch
      }
      if (this.#watcher === watcher) this.#watcher = undefined;
    })();
  }

  #read(): void {
    const { path, output, problems, before } = this.#options;
    let text: string;
    try {
      text = readBounded(path, { maxBytes: MAX_BYTES, followLinks: true });
    } catch (error) {
      const message = `cannot be read, so what was in force stays: ${(error as Error).message}`;
      problems.replace([{ source: path, message }]);
      if (!this.#known) output.replace(before);
      this.#known = true;
      return;
    }
    this.#known = true;
    const parsed = parsePrefilter(text);
    output.replace(parsed.prefixes);
    problems.replace(parsed.problems.map((problem) => ({ source: path, ...problem })));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    this.#watcher?.close();
    await this.#watching;
  }
}
