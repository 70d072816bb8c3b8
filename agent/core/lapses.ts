/** Times in which the kernel was not as desired although everything had been applied. */

/** One of them. */
export interface Lapse {
  /** When a comparison last found the kernel right. */
  since: Date;
  /** When it was right again; undefined while it is not. */
  until: Date | undefined;
  /** The first rows, by key. */
  rows: string[];
  /** All rows. */
  count: number;
}

const KEPT = 16;
const ROWS_NAMED = 8;

/** The last ones of a reconciler. */
export class Lapses {
  readonly #lapses: Lapse[] = [];

  /** Oldest first. */
  list(): Lapse[] {
    return this.#lapses.map((lapse) => ({ ...lapse }));
  }

  /** Opens one that ends with the next `close`. */
  open(since: Date, rows: readonly string[]): void {
    this.#lapses.push({
      since,
      until: undefined,
      rows: rows.slice(0, ROWS_NAMED),
      count: rows.length,
    });
    if (this.#lapses.length > KEPT) this.#lapses.shift();
  }

  close(at: Date): void {
    for (const lapse of this.#lapses) lapse.until ??= at;
  }
}
