/** Files and directories as removals. */

import { join } from "@std/path";
import { fileInfo, namesIn, removeIfThere } from "../../core/missing_files.ts";
import type { Left, Removal } from "./removal.ts";

/** The file, or the directory with all that is in it; no link is followed. */
export function pathRemoval(path: string): Removal {
  return {
    kind: "file",
    what: path,
    remove: () => removeIfThere(path, { recursive: true }),
  };
}

/** The directory alone: it must be empty by then. */
export function directoryRemoval(path: string): Removal {
  return { kind: "file", what: path, remove: () => removeIfThere(path) };
}

/** Of a directory of ours the names that are ours, and the directory when nothing else is in it. */
export function ownDirectory(
  directory: string,
  isOurs: (name: string) => boolean,
): { removals: Removal[]; left: Left[] } {
  if (!fileInfo(directory)) return { removals: [], left: [] };
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
