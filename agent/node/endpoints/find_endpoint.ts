/** Endpoints as users name them. */

import { type Endpoint, endpointName } from "../../api/endpoint.ts";
import { ApiError } from "../../api/server.ts";
import type { Table } from "../../core/table.ts";

/** The endpoint of that number or name. Throws ApiError 404. */
export function findEndpoint(endpoints: Table<Endpoint>, reference: string): Endpoint {
  const found = endpoints.rows().find((endpoint) =>
    String(endpoint.id) === reference || endpointName(endpoint) === reference
  );
  if (found) return found;
  const message = `There is no endpoint ${reference}; see \`pilus endpoint list\``;
  throw new ApiError(404, { code: "not-found", message });
}
