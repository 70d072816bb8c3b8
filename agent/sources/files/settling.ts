/**
 * Files that have lost something. Who writes a file in place empties it first, and who saves it under
 * its name may take it away for a moment: a version with less in it counts when the file has been
 * still for a while.
 */

import type { Timer } from "../../core/timer.ts";

/** Milliseconds that a file must be still. */
export const STILL_MS = 1000;

/** What is to be done with files once they are still. Disposing forgets all of it. */
export class Settling implements Disposable {
  readonly #timers = new Map<string, Timer>();

  has(path: string): boolean {
    return this.#timers.has(path);
  }

  /** Does `settled` when the file has been still; takes the place of what waits for it already. */
  wait(path: string, settled: () => void): void {
    this.cancel(path);
    const timer = setTimeout(() => {
      this.#timers.delete(path);
      settled();
    }, STILL_MS);
    this.#timers.set(path, timer);
  }

  /** The file has changed again. */
  cancel(path: string): void {
    clearTimeout(this.#timers.get(path));
    this.#timers.delete(path);
  }

  [Symbol.dispose](): void {
    for (const path of [...this.#timers.keys()]) this.cancel(path);
  }
}
