/** Filters as options: the agent applies them, and the command line refuses what it would refuse. */

import { ApiError } from "../agent/api/server.ts";
import { type OptionValues, UsageError } from "./command.ts";

/**
 * The options of these names as a query. Throws UsageError with what `check` says of it.
 *
 * @param check throws ApiError
 */
export function queryOf(
  options: OptionValues,
  names: readonly string[],
  check: (query: URLSearchParams) => unknown,
): URLSearchParams {
  const query = new URLSearchParams();
  for (const name of names) {
    if (options[name] !== undefined) query.set(name, String(options[name]));
  }
  try {
    check(query);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    throw new UsageError(`--${error.message}`, { cause: error });
  }
  return query;
}
