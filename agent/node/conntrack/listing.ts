/** Rows of the connection tables that a query asks for. */

import { type ConnectionFilter, parseConnectionQuery } from "../../api/connection_query.ts";
import type { Listing } from "../../api/views.ts";

/** Rows that are looked at before other work gets its turn. */
const ROWS_A_TURN = 4096;

/** A row that passes, or undefined. */
export type Row<T> = (() => T) | undefined;

/** The first rows that pass, and how many there are. Other work gets its turn meanwhile. */
export async function listing<T>(
  query: URLSearchParams,
  rows: (filter: ConnectionFilter) => Iterable<Row<T>>,
): Promise<Listing<T>> {
  const { filter, limit } = parseConnectionQuery(query);
  const result: Listing<T> = { rows: [], total: 0 };
  let seen = 0;
  for (const row of rows(filter)) {
    if (++seen % ROWS_A_TURN === 0) await new Promise((resolve) => setTimeout(resolve, 0));
    if (!row) continue;
    result.total++;
    if (result.rows.length < limit) result.rows.push(row());
  }
  return result;
}
