/** Times as text. */

export class TimeTexts {
  /** The text of the last second: most times are of the same one. */
  #second = NaN;
  #prefix = "";

  /** ISO 8601 with nanoseconds. `seconds`: since 1970. */
  text(seconds: number, nanoseconds: number): string {
    if (seconds !== this.#second) {
      this.#second = seconds;
      this.#prefix = new Date(seconds * 1000).toISOString().slice(0, -"000Z".length);
    }
    return `${this.#prefix}${String(1_000_000_000 + nanoseconds).slice(1)}Z`;
  }
}
