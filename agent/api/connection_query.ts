/** Which rows of a connection table a request asks for. */

import {
  DEFAULT_LIMIT,
  field,
  integer,
  Parameters,
  parseAddress,
  parseLimit,
  parseProtocol,
} from "./parameters.ts";

/** What a request for rows of a connection table asks for. */
export interface ConnectionQuery {
  filter: ConnectionFilter;
  /** Rows at most. */
  limit: number;
}

/** A row passes when every field fits, each by any of its values and by either end. */
export interface ConnectionFilter {
  protocols?: readonly number[];
  /** Texts in the form of `formatIp`. */
  ips?: readonly string[];
  ports?: readonly number[];
}

/** The connections that `query` asks for; lists have commas. Throws ApiError 400. */
export function parseConnectionQuery(query: URLSearchParams): ConnectionQuery {
  const parameters = new Parameters(query);
  const result = {
    filter: {
      ...field("protocols", parameters.list("protocol", parseProtocol)),
      ...field("ips", parameters.list("ip", parseAddress)),
      ...field("ports", parameters.list("port", integer(0, 65535))),
    },
    limit: parameters.one("limit", parseLimit) ?? DEFAULT_LIMIT,
  };
  parameters.end();
  return result;
}
