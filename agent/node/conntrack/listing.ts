/** Rows of the connection tables that a query asks for. */

import { type ConnectionFilter, parseConnectionQuery } from "../../api/connection_query.ts";
import type { Listing } from "../../api/views.ts";
import { TimeSlice } from "../../core/time_slice.ts";

/** A row that passes, or undefined. */
export type Row<T> = (() => T) | undefined;

/** The first rows that pass, and how many there are. Other work gets its turn meanwhile. */
export async function listing<T>(
  query: URLSearchParams,
  rows: (filter: ConnectionFilter) => Iterable<Row<T>>,
): Promise<Listing<T>> {
  const { filter, limit } = parseConnectionQuery(query);
  const result: Listing<T> = { rows: [], total: 0 };
  const slice = new TimeSlice();
  for (const row of rows(filter)) {
    if (slice.over) await slice.next();
    if (!row) continue;
    result.total++;
    if (result.rows.length < limit) result.rows.push(row());
  }
  return result;
}
