/** Files that are written whole or not at all. */

import { basename, dirname, join } from "@std/path";

/** A name beside `path` that no other writer has, for a draft of it. */
export function draftPath(path: string): string {
  return join(dirname(path), `.${basename(path)}.${crypto.randomUUID()}`);
}

/**
 * Writes the whole file or nothing of it: readers never see a part. A link at `path` is replaced,
 * not followed.
 */
export function writeWhole(path: string, text: string): void {
  const draft = draftPath(path);
  try {
    Deno.writeTextFileSync(draft, text, { createNew: true, mode: 0o644 });
    Deno.renameSync(draft, path);
  } catch (error) {
    try {
      Deno.removeSync(draft);
    } catch { /* it was not made */ }
    throw error;
  }
}
