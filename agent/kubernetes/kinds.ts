/** The kinds of resources that pilus reads. */

import { ciliumEndpointSchema, ciliumIdentitySchema } from "./cilium_endpoint.ts";
import { ciliumClusterwidePolicySchema, ciliumPolicySchema } from "./cilium_policy.ts";
import { networkPolicySchema } from "./network_policy.ts";
import { namespaceSchema, nodeSchema, podSchema } from "./pods_and_nodes.ts";
import type { ResourceKind } from "./resources.ts";
import type { Schema } from "./schema.ts";
import { endpointSliceSchema, serviceSchema, type SliceEndpoint } from "./services.ts";
import { packEndpoints } from "./slice_endpoints.ts";

/** One kind of resource. */
export interface KindDefinition {
  /** API group and version; another version of the group is an error, another group another kind. */
  apiVersion: string;
  namespaced: boolean;
  schema: Schema;
  /** Whether the elder of two has precedence, so that their age is kept. @default {false} */
  dated?: boolean;
  /** Makes of a resource that is as the API says one as the tables have it. */
  pack?: (resource: Record<string, unknown>) => Record<string, unknown>;
}

/** The definition of each kind that users write. */
export const KINDS: Record<ResourceKind, KindDefinition> = {
  Namespace: { apiVersion: "v1", namespaced: false, schema: namespaceSchema },
  Pod: { apiVersion: "v1", namespaced: true, dated: true, schema: podSchema },
  Service: { apiVersion: "v1", namespaced: true, dated: true, schema: serviceSchema },
  EndpointSlice: {
    apiVersion: "discovery.k8s.io/v1",
    namespaced: true,
    schema: endpointSliceSchema,
    pack: ({ endpoints, ...slice }) => ({
      ...slice,
      ...(endpoints ? { endpoints: packEndpoints(endpoints as SliceEndpoint[]) } : {}),
    }),
  },
  NetworkPolicy: {
    apiVersion: "networking.k8s.io/v1",
    namespaced: true,
    schema: networkPolicySchema,
  },
  CiliumNetworkPolicy: {
    apiVersion: "cilium.io/v2",
    namespaced: true,
    schema: ciliumPolicySchema,
  },
  CiliumClusterwideNetworkPolicy: {
    apiVersion: "cilium.io/v2",
    namespaced: false,
    schema: ciliumClusterwidePolicySchema,
  },
  Node: { apiVersion: "v1", namespaced: false, schema: nodeSchema },
};

/** The kinds that nodes write for each other: no user does. */
export const PUBLISHED_KINDS = {
  CiliumEndpoint: { apiVersion: "cilium.io/v2", namespaced: true, schema: ciliumEndpointSchema },
  CiliumIdentity: { apiVersion: "cilium.io/v2", namespaced: false, schema: ciliumIdentitySchema },
} satisfies Record<string, KindDefinition>;
