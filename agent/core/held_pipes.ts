/**
 * Named pipes in a watched directory. The runtime's one watch thread opens the path of each notice, and
 * would wait at a pipe until somebody writes to it: no other notice would come, nor could a watch be
 * started or ended. While one has a pipe open itself, no opening of it waits.
 */

/** Pipes that are held of one directory: each takes a descriptor. */
const MAX_PIPES = 64;

/** See the module. Disposing lets them go. */
export class HeldPipes implements Disposable {
  readonly #directory: string;
  readonly #held = new Map<string, Deno.FsFile>();

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Holds all that there are now, hidden ones and those that links lead to included. */
  refresh(): void {
    const there = new Set(pipesBelow(this.#directory));
    for (const [path, pipe] of this.#held) {
      if (there.has(path)) continue;
      pipe.close();
      this.#held.delete(path);
    }
    for (const path of there) {
      if (this.#held.has(path) || this.#held.size >= MAX_PIPES) continue;
      try { // both ends at once: that never waits
        this.#held.set(path, Deno.openSync(path, { read: true, write: true }));
      } catch { /* it is gone, or not to be opened by anybody */ }
    }
  }

  [Symbol.dispose](): void {
    for (const pipe of this.#held.values()) pipe.close();
    this.#held.clear();
  }
}

function* pipesBelow(directory: string): Generator<string> {
  let entries: Deno.DirEntry[] = [];
  try {
    entries = [...Deno.readDirSync(directory)];
  } catch { /* who reads its files says so */ }
  for (const { name, isFile, isDirectory } of entries) {
    const path = `${directory}/${name}`;
    if (isDirectory) yield* pipesBelow(path);
    else if (!isFile && isPipe(path)) yield path;
  }
}

function isPipe(path: string): boolean {
  try {
    return Deno.statSync(path).isFifo === true;
  } catch {
    return false;
  }
}
