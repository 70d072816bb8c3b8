/**
 * The Kubernetes and Cilium resources that users write, as tables have them: normalised, so that
 * readers need no defaults for namespace and labels. The types follow from the schemas.
 */

import type { CiliumClusterwideNetworkPolicy, CiliumNetworkPolicy } from "./cilium_policy.ts";
import type { NetworkPolicy } from "./network_policy.ts";
import type { Namespace, Node, Pod } from "./pods_and_nodes.ts";
import type { Resource } from "./resource_schema.ts";
import type { EndpointSlice, Service } from "./services.ts";

export type * from "./cilium_policy.ts";
export type * from "./network_policy.ts";
export type * from "./pods_and_nodes.ts";
export type * from "./services.ts";
export type {
  LabelRequirement,
  LabelSelector,
  ObjectMeta,
  PortProtocol,
  Resource,
} from "./resource_schema.ts";

/** Any resource that says what may reach what. */
export type PolicyResource =
  | NetworkPolicy
  | CiliumNetworkPolicy
  | CiliumClusterwideNetworkPolicy;

/** Every resource that users write, by kind. */
export interface ResourceKinds {
  Namespace: Namespace;
  Pod: Pod;
  Service: Service;
  EndpointSlice: EndpointSlice;
  NetworkPolicy: NetworkPolicy;
  CiliumNetworkPolicy: CiliumNetworkPolicy;
  CiliumClusterwideNetworkPolicy: CiliumClusterwideNetworkPolicy;
  Node: Node;
}

/** The name of a kind that users write. */
export type ResourceKind = keyof ResourceKinds;

/** `namespace/name`, or the name alone when it is cluster-wide: the key in tables. */
export function resourceKey({ metadata }: Resource): string {
  // joined, as a template's text would be a tree of its parts, and there are very many keys
  return metadata.namespace === "" ? metadata.name : [metadata.namespace, metadata.name].join("/");
}
