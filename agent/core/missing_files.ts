/** Files and directories of which it is no failure that they are not there. No link is followed. */

/** Returns undefined in place of Deno.errors.NotFound. */
function unlessMissing<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** Removes a file, or a directory: an empty one, or any when `recursive`. */
export function removeIfThere(path: string, { recursive = false } = {}): void {
  unlessMissing(() => Deno.removeSync(path, { recursive }));
}

/** What is at `path`; undefined when nothing is. */
export function fileInfo(path: string): Deno.FileInfo | undefined {
  return unlessMissing(() => Deno.lstatSync(path));
}

/** Sorted names within a directory; none when it is not there. */
export function namesIn(directory: string): string[] {
  return unlessMissing(() => [...Deno.readDirSync(directory)].map(({ name }) => name).sort()) ?? [];
}
