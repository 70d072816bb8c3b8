/** Long work in slices: what else the agent's one thread has to do waits for one of them at most. */

/** Milliseconds of a slice. */
const SLICE_MS = 8;

/** The time that work may take before other work gets its turn. */
export class TimeSlice {
  #end = performance.now() + SLICE_MS;

  get over(): boolean {
    return performance.now() > this.#end;
  }

  /** Resolves when other work has had its turn; the next slice begins then. */
  async next(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, 0));
    this.#end = performance.now() + SLICE_MS;
  }
}
