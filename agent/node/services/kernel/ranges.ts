/** Ranges of consecutive rows of an array. */

/** Hands out ranges of consecutive rows, from row 1 up: row 0 is never used. */
export class RangeAllocator {
  /** Free ranges in order of their first row; no two touch. */
  #free: { first: number; size: number }[];

  constructor(rows: number) {
    this.#free = rows > 1 ? [{ first: 1, size: rows - 1 }] : [];
  }

  /** The first row of a range, or undefined when none is long enough. */
  take(size: number): number | undefined {
    const at = this.#free.findIndex((range) => range.size >= size);
    const range = this.#free[at];
    if (!range) return undefined;
    const { first } = range;
    if (range.size === size) this.#free.splice(at, 1);
    else this.#free[at] = { first: first + size, size: range.size - size };
    return first;
  }

  /** Whether there is room for a range. */
  fits(size: number): boolean {
    return this.#free.some((range) => range.size >= size);
  }

  /** Takes a certain range; false when some of it is not free. */
  claim(first: number, size: number): boolean {
    const at = this.#find(first);
    const range = this.#free[at];
    if (!range || first + size > range.first + range.size) return false;
    const parts = [
      { first: range.first, size: first - range.first },
      { first: first + size, size: range.first + range.size - first - size },
    ];
    this.#free.splice(at, 1, ...parts.filter((part) => part.size > 0));
    return true;
  }

  /** Gives a range back. */
  release(first: number, size: number): void {
    let at = this.#find(first) + 1;
    const before = this.#free[at - 1];
    const range = { first, size };
    let replaced = 0;
    if (before && before.first + before.size === first) {
      range.first = before.first;
      range.size += before.size;
      at--;
      replaced++;
    }
    const after = this.#free[at + replaced];
    if (after && after.first === first + size) {
      range.size += after.size;
      replaced++;
    }
    this.#free.splice(at, replaced, range);
  }

  /** Rows that are free. */
  get left(): number {
    return this.#free.reduce((sum, { size }) => sum + size, 0);
  }

  /** Index of the last free range that begins at `row` or before it, -1 when there is none. */
  #find(row: number): number {
    let low = 0, high = this.#free.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#free[middle]!.first <= row) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}
