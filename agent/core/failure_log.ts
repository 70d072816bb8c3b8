/** Failures that are tried again and again, in the log: a line for each kind of failure, and one when it is over. */

import type { Log } from "./log.ts";

/** What is kept of failures that go on. */
const REMEMBERED = 100;

/** See the module. */
export class FailureLog {
  readonly #log: Log;
  readonly #about: string;
  /** What was told and goes on, without the numbers in it. */
  readonly #told = new Set<string>();

  /** @param about what fails, such as `cluster store` */
  constructor(log: Log, about: string) {
    this.#log = log;
    this.#about = about;
  }

  failed(error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error);
    const kind = reason.replace(/[0-9]+/g, "#");
    if (this.#told.has(kind) || this.#told.size >= REMEMBERED) {
      this.#log.debug(this.#about, { reason });
      return;
    }
    this.#told.add(kind);
    this.#log.warn(this.#about, { reason });
  }

  recovered(): void {
    if (this.#told.size === 0) return;
    this.#told.clear();
    this.#log.info(`${this.#about}: well again`);
  }
}
