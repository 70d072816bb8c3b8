/** What nodes tell each other, as rows of ours: whatever store they come from. */

import type { Cidr } from "../../datapath/net/ip.ts";
import type { NamedPort } from "../kubernetes/resources.ts";
import type { LabelMap } from "./labels.ts";

/** An address of a pod, as the pod's node publishes it. */
export interface RemoteAddress {
  /** The address as text. */
  prefix: string;
  identity: number;
  /** The InternalIP of the pod's node, as text. */
  node: string;
  /** The index of the node's encryption key; 0: none. */
  key: number;
  cluster: string;
  /** `namespace/name`. */
  pod: string;
  /** The pod's labels, which services without EndpointSlices select by. */
  labels: LabelMap;
  namedPorts: readonly NamedPort[];
  /** Whether services may send to it. */
  ready: boolean;
}

/** The key in tables: several pods may claim one address. */
export function remoteAddressKey({ prefix, pod, node, cluster }: RemoteAddress): string {
  // joined, as a template's text would be a tree of its parts, and there are very many keys
  return [prefix, pod, node, cluster].join(" ");
}

/** The namespace of its pod. */
export function namespaceOf({ pod }: RemoteAddress): string {
  return pod.slice(0, pod.indexOf("/"));
}

/** A number for a set of labels. */
export interface IdentityRow {
  id: number;
  labels: LabelMap;
}

/** A pod of this node, as this node publishes it. */
export interface PublishedEndpoint {
  /** The endpoint's number. */
  id: number;
  namespace: string;
  pod: string;
  /** The pod's own. */
  labels: LabelMap;
  identity: number;
  identityLabels: LabelMap;
  ipv4?: string;
  ipv6?: string;
  /** The InternalIP of this node, as text. */
  node: string;
  namedPorts: readonly NamedPort[];
  serviceAccount: string;
}

/** `namespace/name` of its pod: the key in tables. */
export function publishedEndpointKey({ namespace, pod }: PublishedEndpoint): string {
  return `${namespace}/${pod}`;
}

/** A node of the cluster. Addresses are 16 bytes. */
export interface ClusterNode {
  name: string;
  /** Whether it is this one. */
  local: boolean;
  /** The InternalIP of the family: where tunnels end. */
  ipv4?: Uint8Array<ArrayBuffer>;
  ipv6?: Uint8Array<ArrayBuffer>;
  /** Every address of the node's own. */
  addresses: Uint8Array<ArrayBuffer>[];
  /** Where its pods' addresses come from: at most one of each family. */
  podCidrIpv4?: Cidr;
  podCidrIpv6?: Cidr;
  /** Its pods' next hop: the first host address of the pod CIDR. */
  routerIpv4?: Uint8Array<ArrayBuffer>;
  routerIpv6?: Uint8Array<ArrayBuffer>;
}
