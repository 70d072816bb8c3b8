/** A limit on how long nothing may come. */

import type { Timer } from "../../core/timer.ts";

/** Calls `onSilence` once when there was no `heard` for `ms` milliseconds, until disposed of. */
export class Silence implements Disposable {
  readonly #ms: () => number;
  readonly #onSilence: () => void;
  #heardAt = performance.now();
  #timer: Timer;

  /** @param ms may become more, not less */
  constructor(ms: () => number, onSilence: () => void) {
    this.#ms = ms;
    this.#onSilence = onSilence;
    this.#timer = setTimeout(this.#look, ms());
  }

  heard(): void {
    this.#heardAt = performance.now();
  }

  #look = (): void => {
    // timers may be a millisecond early
    const left = Math.ceil(this.#heardAt + this.#ms() - performance.now() - 1);
    if (left > 0) this.#timer = setTimeout(this.#look, left);
    else this.#onSilence();
  };

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
