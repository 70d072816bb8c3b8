/** The last good versions of files: what is in force while a file is wrong, over restarts too. */

import { createHash } from "node:crypto";
import { join } from "@std/path";
import { writeWhole } from "../../core/whole_file.ts";

/** A text that was in force. */
export interface GoodVersion {
  text: string;
  /** See {@linkcode textHash}. */
  hash: string;
}

/** The name of a copy; other files are not touched. */
const COPY = /^[0-9a-f]{64}$/;

/** What tells one text from another. */
export function textHash(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/**
 * Copies in a directory of the node's own: the first line of each says of which file it is and what its
 * text hashes to.
 */
export class LastGood {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
    Deno.mkdirSync(directory, { recursive: true, mode: 0o700 });
  }

  remember(path: string, { text, hash }: GoodVersion): void {
    writeWhole(this.#copyOf(path), `${JSON.stringify({ path, hash })}\n${text}`);
  }

  /** Undefined when there is none. Throws Error for a copy that is not whole, or what the file system says. */
  recall(path: string): GoodVersion | undefined {
    return readCopy(this.#copyOf(path))?.version;
  }

  forget(path: string): void {
    remove(this.#copyOf(path));
  }

  /** The other files of which there are copies. */
  *pathsBut(paths: Iterable<string>): Generator<string> {
    const names = Array.from(Deno.readDirSync(this.#directory), ({ name }) => name);
    const others = new Set(names.filter((name) => COPY.test(name)));
    for (const path of paths) others.delete(textHash(path));
    for (const name of others) {
      const copy = join(this.#directory, name);
      let path: string | undefined;
      try {
        path = readCopy(copy)?.path;
      } catch { /* it cannot say of which file it is */ }
      if (path !== undefined && textHash(path) === name) yield path;
      else remove(copy);
    }
  }

  #copyOf(path: string): string {
    return join(this.#directory, textHash(path));
  }
}

function readCopy(copy: string): { path: string; version: GoodVersion } | undefined {
  let content: string;
  try {
    content = Deno.readTextFileSync(copy);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
  const end = content.indexOf("\n");
  const { path, hash } = JSON.parse(content.slice(0, end)) as { path: string; hash: string };
  const text = content.slice(end + 1);
  if (textHash(text) !== hash) throw new Error("it is not as it was written");
  return { path, version: { text, hash } };
}

function remove(path: string): void {
  try {
    Deno.removeSync(path);
  } catch { /* it is gone, or the next start tries again */ }
}
