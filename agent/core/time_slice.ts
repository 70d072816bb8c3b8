/** Long work in slices: what else the agent's one thread has to do waits for one of them at most. */

/** Milliseconds of a slice. */
const SLICE_MS = 8;

/** Milliseconds while the process starts and serves nobody: each turn of other work costs 1 to 2. */
const START_SLICE_MS = 50;

let length = SLICE_MS;

/** Makes slices longer until disposed of. */
export function startingSlices(): Disposable {
  length = START_SLICE_MS;
  return { [Symbol.dispose]: () => void (length = SLICE_MS) };
}

/** The time that work may take before other work gets its turn. */
export class TimeSlice {
  #end = performance.now() + length;

  get over(): boolean {
    return performance.now() > this.#end;
  }

  /**
   * Resolves when other work has had its turn; the next slice begins then. A timer, as the runtime
   * does not look at its sockets before the next message or immediate.
   */
  async next(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, 0));
    this.#end = performance.now() + length;
  }
}
