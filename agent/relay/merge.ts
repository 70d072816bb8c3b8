/** Streams of events as one, in the order of their times. */

/** An event of a stream. */
export interface Timed {
  /** Milliseconds since 1970. */
  time: number;
}

/** Events of a stream that may wait for those of others. */
const AHEAD = 256;

interface Waiting<Event> {
  event: Event;
  /** When it came, by `performance.now()`. */
  came: number;
}

/** One stream of the merge. */
class Source<Event extends Timed> {
  readonly queue: Waiting<Event>[] = [];
  ended = false;
  #room: (() => void) | undefined;

  async fill(events: AsyncIterable<Event>, changed: () => void): Promise<void> {
    for await (const event of events) {
      this.queue.push({ event, came: performance.now() });
      changed();
      if (this.queue.length < AHEAD) continue;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#room = resolve;
      await promise;
    }
  }

  shift(): Event {
    const { event } = this.queue.shift()!;
    this.#room?.();
    this.#room = undefined;
    return event;
  }

  release(): void {
    this.#room?.();
  }
}

/**
 * Merges streams that come and go. An event is given when every stream has shown a later one or has
 * ended, and at the latest `patience` milliseconds after it came: then a later stream may be out of
 * order with it.
 */
export class Merge<Event extends Timed> {
  readonly #sources = new Set<Source<Event>>();
  readonly #patience: number;
  #wake: (() => void) | undefined;

  constructor(patience: number) {
    this.#patience = patience;
  }

  /** Adds a stream. Resolves when it has ended; rejects with what it throws. */
  async add(events: AsyncIterable<Event>): Promise<void> {
    const source = new Source<Event>();
    this.#sources.add(source);
    try {
      await source.fill(events, () => this.#changed());
    } finally {
      source.ended = true;
      this.#changed();
    }
  }

  #changed(): void {
    this.#wake?.();
  }

  /** The events until all streams have ended and `more` says that no other comes, or the signal. */
  async *events(signal: AbortSignal, more: () => boolean): AsyncGenerator<Event[]> {
    const wake = () => this.#changed();
    signal.addEventListener("abort", wake);
    try {
      while (!signal.aborted) {
        for (const source of this.#sources) {
          if (source.ended && source.queue.length === 0) this.#sources.delete(source);
        }
        const { batch, wait } = this.#ready();
        if (batch.length > 0) yield batch;
        else if (this.#sources.size === 0 && !more()) return;
        else await this.#change(wait);
      }
    } finally {
      signal.removeEventListener("abort", wake);
      for (const source of this.#sources) source.release();
    }
  }

  /** What may be given now; else after how many milliseconds something may. */
  #ready(): { batch: Event[]; wait: number } {
    const batch: Event[] = [];
    const now = performance.now();
    while (batch.length < AHEAD) {
      let first: Source<Event> | undefined;
      let whole = true;
      for (const source of this.#sources) {
        const head = source.queue[0];
        if (!head) {
          if (!source.ended) whole = false;
        } else if (!first || head.event.time < first.queue[0]!.event.time) first = source;
      }
      if (!first) return { batch, wait: Infinity };
      const wait = whole ? 0 : first.queue[0]!.came + this.#patience - now;
      if (wait > 0) return { batch, wait };
      batch.push(first.shift());
    }
    return { batch, wait: 0 };
  }

  async #change(wait: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    const timer = wait === Infinity ? undefined : setTimeout(resolve, wait);
    await promise;
    clearTimeout(timer);
    this.#wake = undefined;
  }
}
