/** The kinds of objects by which nodes tell each other. */

import { ciliumIdentitySchema } from "../../kubernetes/cilium_endpoint.ts";
import { ciliumEndpointSliceSchema } from "../../kubernetes/cilium_endpoint_slice.ts";
import type { Schema } from "../../kubernetes/schema.ts";
import type { WatchedKind } from "../../kubernetes/watch/watched_kind.ts";

/** A kind, and how its objects are read. */
export interface PublishedKind extends WatchedKind {
  schema: Schema;
}

export const IDENTITIES: PublishedKind = {
  kind: "CiliumIdentity",
  apiVersion: "cilium.io/v2",
  resource: "ciliumidentities",
  schema: ciliumIdentitySchema,
};

export const SLICES: PublishedKind = {
  kind: "CiliumEndpointSlice",
  apiVersion: "cilium.io/v2alpha1",
  resource: "ciliumendpointslices",
  schema: ciliumEndpointSliceSchema,
};
