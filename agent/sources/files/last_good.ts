/** The last good versions of files: what is in force while a file is wrong, over restarts too. */

import { createHash } from "node:crypto";
import { join } from "@std/path";
import { writeWhole } from "../../core/whole_file.ts";

/** Copies in a directory of the node's own, by the path of the file. */
export class LastGood {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
    Deno.mkdirSync(directory, { recursive: true, mode: 0o700 });
  }

  remember(path: string, text: string): void {
    if (this.recall(path) !== text) writeWhole(this.#path(path), text);
  }

  recall(path: string): string | undefined {
    try {
      return Deno.readTextFileSync(this.#path(path));
    } catch {
      return undefined;
    }
  }

  forget(path: string): void {
    remove(this.#path(path));
  }

  /** Forgets all but those of `paths`. */
  prune(paths: Iterable<string>): void {
    const kept = new Set([...paths].map((path) => this.#path(path)));
    for (const { name } of Deno.readDirSync(this.#directory)) {
      const copy = join(this.#directory, name);
      if (!kept.has(copy)) remove(copy);
    }
  }

  #path(path: string): string {
    return join(this.#directory, createHash("sha256").update(path).digest("hex"));
  }
}

function remove(path: string): void {
  try {
    Deno.removeSync(path);
  } catch { /* it is gone, or the next start tries again */ }
}
