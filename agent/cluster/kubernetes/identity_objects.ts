/** CiliumIdentities, which are named by their number: the API server makes an object of a name once. */

import type { CiliumIdentity } from "../../kubernetes/cilium_endpoint.ts";
import type { ApiClient } from "../../kubernetes/client/api_client.ts";
import { ApiError } from "../../kubernetes/client/api_error.ts";
import { type ApiObject, pathOf, requestOf } from "../../kubernetes/watch/watched_kind.ts";
import type { IdentityRow } from "../rows.ts";
import { IDENTITIES } from "./published_kinds.ts";

export function rowOf(value: CiliumIdentity): IdentityRow {
  return { id: Number(value.metadata.name), labels: value["security-labels"] };
}

/** Makes the object, or gets the one that is there. Throws ApiError. */
export async function claimIdentityObject(
  client: ApiClient,
  { id, labels }: IdentityRow,
): Promise<ApiObject & CiliumIdentity> {
  const { apiVersion, kind } = IDENTITIES;
  const path = pathOf(IDENTITIES);
  const body = { apiVersion, kind, metadata: { name: String(id) }, "security-labels": labels };
  const answer = await client.json({ ...requestOf(IDENTITIES, "create"), path, body })
    .catch((error) => {
      if (!(error instanceof ApiError) || error.code !== "conflict") throw error;
      return client.json({ ...requestOf(IDENTITIES, "get"), path: `${path}/${id}` });
    });
  return answer as ApiObject & CiliumIdentity;
}
