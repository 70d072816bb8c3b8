/** Rows of one table that come from several origins, such as files or objects, each with some of them. */

import type { Table } from "../core/table.ts";

/** See the module. A row that more than one origin has stays until the last of them has it no more. */
export class OriginRows<Row> {
  readonly #table: Table<Row>;
  readonly #rows = new Map<string, readonly Row[]>();
  /** Keys of rows that more than one origin has had. */
  readonly #shared = new Set<string>();

  constructor(table: Table<Row>) {
    this.#table = table;
  }

  /** Makes `rows` all that the origin has. */
  replace(origin: string, rows: readonly Row[]): void {
    const had = new Set((this.#rows.get(origin) ?? []).map((row) => this.#table.keyOf(row)));
    if (rows.length > 0) this.#rows.set(origin, rows);
    else this.#rows.delete(origin);
    for (const row of rows) {
      const key = this.#table.keyOf(row);
      if (!had.delete(key) && this.#table.has(key)) this.#shared.add(key);
      this.#table.set(row, key);
    }
    for (const key of had) this.#release(key);
  }

  /** Another origin that has the row keeps it there. */
  #release(key: string): void {
    this.#table.delete(key);
    if (!this.#shared.delete(key)) return;
    for (const rows of this.#rows.values()) {
      const heir = rows.find((row) => this.#table.keyOf(row) === key);
      if (!heir) continue;
      if (this.#table.has(key)) this.#shared.add(key);
      else this.#table.set(heir, key);
    }
  }
}
