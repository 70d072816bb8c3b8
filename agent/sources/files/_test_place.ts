/** A manifest directory and its source, for tests. */

import { assertEquals } from "@std/assert";
import { join } from "@std/path";
import type { ResourceTables } from "../../kubernetes/resource_tables.ts";
import { FileSource } from "./file_source.ts";

export interface Place extends AsyncDisposable {
  directory: string;
  source: FileSource;
  readonly tables: ResourceTables;
  path(name: string): string;
  /** In place. */
  write(name: string, text: string): void;
  /** Whole. */
  rename(name: string, text: string): void;
  remove(name: string): void;
  /** A new source for the same directory and state, which has not been started. */
  restart(): Promise<void>;
  policies(): string[];
  problems(): string[];
}

export function place({ rescanMs = 10_000 } = {}): Place {
  const root = Deno.makeTempDirSync({ prefix: "pilus-files-" });
  const directory = join(root, "manifests");
  Deno.mkdirSync(directory);
  const options = { directory, stateDirectory: join(root, "state"), rescanMs };
  const path = (name: string) => join(directory, name);
  return {
    directory,
    source: new FileSource(options),
    get tables() {
      return this.source.tables;
    },
    path,
    write: (name, text) => Deno.writeTextFileSync(path(name), text),
    rename(name, text) {
      Deno.writeTextFileSync(path(`.${name}`), text);
      Deno.renameSync(path(`.${name}`), path(name));
    },
    remove: (name) => Deno.removeSync(path(name)),
    async restart() {
      await this.source[Symbol.asyncDispose]();
      this.source = new FileSource(options);
    },
    policies() {
      return this.tables.NetworkPolicy.keys().sort();
    },
    problems() {
      return this.tables.problems.rows().map(({ source, line, message }) =>
        `${source}:${line}: ${message}`
      );
    },
    async [Symbol.asyncDispose]() {
      await this.source[Symbol.asyncDispose]();
      await Deno.remove(root, { recursive: true });
    },
  };
}

/** Waits for it, for at most 10 s. */
export async function until(what: () => boolean): Promise<void> {
  for (let i = 0; i < 1000 && !what(); i++) await pause(10);
  assertEquals(what(), true);
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** What there was meanwhile. */
export async function during(ms: number, look: () => string): Promise<string[]> {
  const seen = new Set<string>();
  for (const end = Date.now() + ms; Date.now() < end; await pause(10)) seen.add(look());
  return [...seen];
}
