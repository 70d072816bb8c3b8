/** Parameters of requests, checked. */

import { ApiError } from "./server.ts";

/** Rows that one answer has at most, unless asked for more. */
const DUMP_LIMIT = 10_000;

/** The rows that `limit` asks for. Throws ApiError 400. */
export function limitOf(query: URLSearchParams): number {
  const text = query.get("limit");
  if (text === null) return DUMP_LIMIT;
  if (text === "Infinity") return Infinity;
  const limit = /^[0-9]{1,15}$/.test(text) ? Number(text) : 0;
  if (limit > 0) return limit;
  const message = `limit is a number of at least 1, not ${JSON.stringify(text.slice(0, 60))}`;
  throw new ApiError(400, { code: "invalid", message });
}
