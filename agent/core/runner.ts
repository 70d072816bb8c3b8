/** Work that runs one at a time. */

import { FailureScope } from "./derivation_failures.ts";

/**
 * Runs its work once for any number of requests that come before it begins; what comes during a run
 * gets one more. A run that throws rejects for those that asked for it, and the next one goes on.
 */
export class Runner {
  readonly #work: () => Promise<void> | void;
  readonly #failures: FailureScope;
  #last: Promise<unknown> = Promise.resolve();
  /** The run that has not begun yet. */
  #queued: Promise<void> | undefined;
  #stopped = false;

  /** @param output the table that the work keeps up to date, under which its failure is listed */
  constructor(output: string, work: () => Promise<void> | void) {
    this.#failures = new FailureScope(output);
    this.#work = work;
  }

  /** As `run`, for callers that do not wait. */
  request(): void {
    this.run().catch(() => {}); // it is listed
  }

  /** Resolves when a run that began after this call has ended; at once after `stop`. */
  run(): Promise<void> {
    if (this.#stopped) return this.idle();
    return this.#queued ??= this.enqueue(async () => {
      this.#queued = undefined;
      try {
        await this.#work();
        this.#failures.clear("");
      } catch (error) {
        this.#failures.fail("", error);
        throw error;
      }
    });
  }

  /** Runs other work in the same queue; it is left out after `stop`. */
  enqueue(work: () => Promise<void> | void): Promise<void> {
    const result = this.#last.then(() => this.#stopped ? undefined : work());
    this.#last = result.catch(() => {});
    return result;
  }

  /** Resolves when nothing runs that has been asked for up to now. */
  async idle(): Promise<void> {
    await this.#last;
  }

  /** Begins no run any more; resolves when the one under way has ended. */
  stop(): Promise<void> {
    this.#stopped = true;
    this.#failures[Symbol.dispose]();
    return this.idle();
  }
}
