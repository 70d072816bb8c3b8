/** A table that follows others until it is disposed of. */

import type { Table } from "../../../core/table.ts";

export interface Derived<Row> extends Disposable {
  table: Table<Row>;
}
