/** Rows that are worked at one by one. */

import type { RowFailure } from "./reconciler.ts";

/** Does `work` for each row. What it throws is that row's failure; the others go on. */
export function attemptEach<Row>(
  rows: Iterable<Row>,
  work: (row: Row) => void,
): RowFailure<Row>[] {
  const failed: RowFailure<Row>[] = [];
  for (const row of rows) {
    try {
      work(row);
    } catch (error) {
      failed.push({ row, error: error instanceof Error ? error : new Error(String(error)) });
    }
  }
  return failed;
}
