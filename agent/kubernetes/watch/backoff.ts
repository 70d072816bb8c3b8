/** Waits that grow from failure to failure, no two alike: many nodes fail at the same moment. */

/** See the module. */
export class Backoff {
  readonly #firstMs: number;
  readonly #random: () => number;
  #failures = 0;

  constructor(firstMs: number, random: () => number = Math.random) {
    this.#firstMs = firstMs;
    this.#random = random;
  }

  /** Milliseconds to wait after one more failure, besides those that the server asks for. */
  next(mostMs: number, askedMs = 0): number {
    const ms = Math.min(this.#firstMs * 2 ** this.#failures, mostMs);
    if (ms < mostMs) this.#failures++;
    return askedMs + ms * (1 + this.#random()) / 2;
  }

  reset(): void {
    this.#failures = 0;
  }
}
