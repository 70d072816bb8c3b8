/** Files that are written whole or not at all. */

import { basename, dirname, join } from "@std/path";
import { namesIn, removeIfThere } from "./missing_files.ts";

/** The most bytes of a file's name that its drafts' have, so that theirs are not too long. */
const MAX_STEM = 200;

/** How the names of a file's drafts begin. */
const draftStem = (path: string) => `.${basename(path).slice(0, MAX_STEM)}.`;

/** A name beside `path` that no other writer has, for a draft of it. */
export function draftPath(path: string): string {
  return join(dirname(path), `${draftStem(path)}${crypto.randomUUID()}`);
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Drafts of the file that a writer left which did not come to its end. */
export function draftsOf(path: string): string[] {
  const stem = draftStem(path);
  return namesIn(dirname(path))
    .filter((name) => name.startsWith(stem) && UUID.test(name.slice(stem.length)))
    .map((name) => join(dirname(path), name));
}

/** Removes such drafts: for the only writer of the file. Best effort: it may be read-only there. */
export function removeDrafts(path: string): void {
  for (const draft of draftsOf(path)) {
    try {
      removeIfThere(draft);
    } catch {
      // what writes next says what is wrong there
    }
  }
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
