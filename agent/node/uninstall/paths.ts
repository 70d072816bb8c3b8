/** Files and directories as removals. */

import { join } from "@std/path";
import type { Left, Removal } from "./removal.ts";

/** Names within a directory; none when it is not there. */
export function namesIn(directory: string): string[] {
  try {
    return [...Deno.readDirSync(directory)].map(({ name }) => name).sort();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

export function isThere(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** The file, or the directory with all that is in it; no link is followed. */
export function pathRemoval(path: string): Removal {
  return {
    kind: "file",
    what: path,
    remove: () => unlessGone(() => Deno.removeSync(path, { recursive: true })),
  };
}

/** The directory alone: it must be empty by then. */
export function directoryRemoval(path: string): Removal {
  return { kind: "file", what: path, remove: () => unlessGone(() => Deno.removeSync(path)) };
}

/** Of a directory of ours the names that are ours, and the directory when nothing else is in it. */
export function ownDirectory(
  directory: string,
  isOurs: (name: string) => boolean,
): { removals: Removal[]; left: Left[] } {
  if (!isThere(directory)) return { removals: [], left: [] };
  const names = namesIn(directory);
  const others = names.filter((name) => !isOurs(name));
  const removals = names.filter(isOurs).map((name) => pathRemoval(join(directory, name)));
  if (others.length === 0) removals.push(directoryRemoval(directory));
  const left = others.map((name) => ({
    what: join(directory, name),
    why: "pilus has not made it",
  }));
  return { removals, left };
}

function unlessGone(remove: () => void): void {
  try {
    remove();
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
