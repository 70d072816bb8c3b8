/** Work that is done in turn by key. */

/** Runs the work for each key one after the other, that for different keys at the same time. */
export class Turns {
  /** The last work of each key. */
  readonly #last = new Map<string, Promise<unknown>>();

  /** Runs `work` after all that was asked for the same key before, whether that failed or not. */
  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key);
    const turn = (async () => {
      await before?.catch(() => {});
      return await work();
    })();
    this.#last.set(key, turn);
    try {
      return await turn;
    } finally {
      if (this.#last.get(key) === turn) this.#last.delete(key);
    }
  }

  /** Whether work for the key runs or waits. */
  isBusy(key: string): boolean {
    return this.#last.has(key);
  }
}
