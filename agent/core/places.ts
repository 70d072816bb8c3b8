/** A bound for how much of something is done at the same time. */

/** So many places; who finds none free waits in line. */
export class Places {
  #free: number;
  readonly #waiting = new Set<() => void>();

  constructor(places: number) {
    this.#free = places;
  }

  /**
   * Resolves to a function that gives the place back, to be called once. Rejects when `end` does
   * before there is a place.
   */
  async take(end: Promise<never>): Promise<() => void> {
    const give = () => this.#give();
    if (this.#free > 0) {
      this.#free--;
      return give;
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.add(resolve);
    try {
      await Promise.race([promise, end]);
      return give;
    } catch (error) {
      // it may have got one at the same time
      if (!this.#waiting.delete(resolve)) give();
      throw error;
    }
  }

  #give(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#free++;
      return;
    }
    this.#waiting.delete(next);
    next();
  }
}
