/** Files that are written whole or not at all. */

import { basename, dirname, join } from "@std/path";
import { removeIfThere } from "./missing_files.ts";

/** A name beside `path` that no other writer has, for a draft of it. */
export function draftPath(path: string): string {
  return join(dirname(path), `.${basename(path)}.${crypto.randomUUID()}`);
}

/**
 * Makes the file or puts it in the place of another, so that readers see either whole: `make` makes it
 * under the name that it gets, at which nothing is. A link at `path` is replaced, not followed.
 */
export function replaceWhole(path: string, make: (draft: string) => void): void {
  const draft = draftPath(path);
  try {
    make(draft);
    Deno.renameSync(draft, path);
  } catch (error) {
    removeIfThere(draft);
    throw error;
  }
}

/** Writes the text as `replaceWhole` does. */
export function writeWhole(path: string, text: string, { mode = 0o644 } = {}): void {
  replaceWhole(path, (draft) => Deno.writeTextFileSync(draft, text, { createNew: true, mode }));
}
