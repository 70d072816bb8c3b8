/**
 * The Kubernetes and Cilium resources that pilus reads, with the fields it uses. A source checks
 * them and fills in `metadata.namespace` and `metadata.labels`, so that readers need no defaults
 * for these.
 */

/** Of every resource. */
export interface ObjectMeta {
  name: string;
  /** Empty for what is cluster-wide; `default` when the manifest names none. */
  namespace: string;
  labels: Record<string, string>;
  annotations?: Record<string, string>;
}

/** What is read of any resource. */
export interface Resource {
  kind: string;
  metadata: ObjectMeta;
}

/** One requirement of a label selector. */
export interface LabelRequirement {
  key: string;
  operator: "In" | "NotIn" | "Exists" | "DoesNotExist";
  values?: string[];
}

/** Selects what meets every requirement; an empty one selects everything. */
export interface LabelSelector {
  matchLabels?: Record<string, string>;
  matchExpressions?: LabelRequirement[];
}

export interface Namespace extends Resource {
  kind: "Namespace";
}

/** Transport protocols that ports are of. */
export type PortProtocol = "TCP" | "UDP" | "SCTP";

export interface ContainerPort {
  name?: string;
  containerPort: number;
  protocol?: PortProtocol;
  /** Of the node, at all of its addresses or at `hostIP`. */
  hostPort?: number;
  hostIP?: string;
}

export interface Pod extends Resource {
  kind: "Pod";
  spec?: {
    nodeName?: string;
    serviceAccountName?: string;
    hostNetwork?: boolean;
    containers?: { name: string; ports?: ContainerPort[] }[];
  };
}

export interface ServicePort {
  name?: string;
  protocol?: PortProtocol;
  port: number;
  /** Number or name of a container port; the port itself when missing. */
  targetPort?: number | string;
  nodePort?: number;
}

/** Who of the endpoints serves: those of the client's node alone, or all. */
export type TrafficPolicy = "Cluster" | "Local";

export interface Service extends Resource {
  kind: "Service";
  spec: {
    type?: "ClusterIP" | "NodePort" | "LoadBalancer" | "ExternalName";
    /** `None` for a headless service. */
    clusterIP?: string;
    clusterIPs?: string[];
    selector?: Record<string, string>;
    ports?: ServicePort[];
    publishNotReadyAddresses?: boolean;
    externalIPs?: string[];
    loadBalancerIP?: string;
    loadBalancerClass?: string;
    loadBalancerSourceRanges?: string[];
    allocateLoadBalancerNodePorts?: boolean;
    externalTrafficPolicy?: TrafficPolicy;
    internalTrafficPolicy?: TrafficPolicy;
    healthCheckNodePort?: number;
    sessionAffinity?: "ClientIP" | "None";
    sessionAffinityConfig?: { clientIP?: { timeoutSeconds?: number } };
    trafficDistribution?: "PreferClose" | "PreferSameZone" | "PreferSameNode";
  };
  status?: { loadBalancer?: { ingress?: { ip?: string }[] | null } };
}

export interface SliceEndpoint {
  addresses: string[];
  conditions?: { ready?: boolean | null; serving?: boolean | null; terminating?: boolean | null };
  nodeName?: string;
  zone?: string;
  hints?: { forZones?: { name: string }[]; forNodes?: { name: string }[] };
  targetRef?: { kind?: string; namespace?: string; name?: string };
}

/** What `packEndpoints` makes of a slice's endpoints: they are most of what a cluster says. */
export interface SliceEndpoints {
  text: string;
  length: number;
}

export interface EndpointSlice extends Resource {
  kind: "EndpointSlice";
  addressType: "IPv4" | "IPv6" | "FQDN";
  endpoints?: SliceEndpoints;
  ports?: { name?: string; protocol?: PortProtocol; port?: number | null }[] | null;
}

export interface NetworkPolicyPort {
  protocol?: PortProtocol;
  port?: number | string;
  endPort?: number;
}

export interface NetworkPolicyPeer {
  podSelector?: LabelSelector;
  namespaceSelector?: LabelSelector;
  ipBlock?: { cidr: string; except?: string[] };
}

export interface NetworkPolicy extends Resource {
  kind: "NetworkPolicy";
  spec: {
    podSelector: LabelSelector;
    policyTypes?: ("Ingress" | "Egress")[];
    ingress?: { from?: NetworkPolicyPeer[]; ports?: NetworkPolicyPort[] }[];
    egress?: { to?: NetworkPolicyPeer[]; ports?: NetworkPolicyPort[] }[];
  };
}

export interface CiliumCidrRule {
  cidr?: string;
  except?: string[];
  cidrGroupRef?: string;
  cidrGroupSelector?: LabelSelector;
}

export interface CiliumPortRule {
  ports?: {
    /** A number from 0 to 65535 as text, or the name of a container port. */
    port: string;
    endPort?: number;
    protocol?: "TCP" | "UDP" | "SCTP" | "ICMP" | "ICMPv6" | "ANY";
  }[];
  /** The rest asks for a proxy. */
  rules?: Record<string, unknown>;
  terminatingTLS?: unknown;
  originatingTLS?: unknown;
  serverNames?: string[];
  listener?: unknown;
}

export interface CiliumIcmpRule {
  fields?: { family?: "IPv4" | "IPv6"; type: number | string }[];
}

/** A rule of any of the four lists: the `from…` fields are of ingress, the `to…` ones of egress. */
export interface CiliumRule {
  fromEndpoints?: LabelSelector[];
  toEndpoints?: LabelSelector[];
  fromCIDR?: string[];
  toCIDR?: string[];
  fromCIDRSet?: CiliumCidrRule[];
  toCIDRSet?: CiliumCidrRule[];
  fromEntities?: string[];
  toEntities?: string[];
  toPorts?: CiliumPortRule[];
  icmps?: CiliumIcmpRule[];
  fromNodes?: unknown[];
  toNodes?: unknown[];
  fromGroups?: unknown[];
  toGroups?: unknown[];
  fromRequires?: unknown[];
  toRequires?: unknown[];
  toServices?: unknown[];
  toFQDNs?: unknown[];
  authentication?: unknown;
}

export interface CiliumPolicySpec {
  endpointSelector?: LabelSelector;
  nodeSelector?: LabelSelector;
  ingress?: CiliumRule[];
  ingressDeny?: CiliumRule[];
  egress?: CiliumRule[];
  egressDeny?: CiliumRule[];
  enableDefaultDeny?: { ingress?: boolean; egress?: boolean };
  description?: string;
}

export interface CiliumNetworkPolicy extends Resource {
  kind: "CiliumNetworkPolicy";
  spec?: CiliumPolicySpec;
  specs?: CiliumPolicySpec[];
}

export interface CiliumClusterwideNetworkPolicy extends Resource {
  kind: "CiliumClusterwideNetworkPolicy";
  spec?: CiliumPolicySpec;
  specs?: CiliumPolicySpec[];
}

/** Any resource that says who may reach whom. */
export type PolicyResource =
  | NetworkPolicy
  | CiliumNetworkPolicy
  | CiliumClusterwideNetworkPolicy;

export interface Node extends Resource {
  kind: "Node";
  spec?: { podCIDR?: string; podCIDRs?: string[] };
  status?: { addresses?: { type: string; address: string }[] };
}

/** A port that containers gave a name. */
export interface NamedPort {
  name: string;
  port: number;
  protocol: PortProtocol;
}

/** A pod's addresses and identity as its node publishes them; named as the pod. */
export interface CiliumEndpoint extends Resource {
  kind: "CiliumEndpoint";
  status: {
    id: number;
    /** Labels in the form `k8s:app=web`. */
    identity: { id: number; labels: string[] };
    /** `node` is the InternalIP of the pod's node. */
    networking: { addressing: { ipv4?: string; ipv6?: string }[]; node: string };
    state?: string;
    "named-ports"?: NamedPort[];
    "service-account"?: string;
  };
}

/** A number for a set of labels; the number is the name. */
export interface CiliumIdentity extends Resource {
  kind: "CiliumIdentity";
  /** Values by key with source, such as `k8s:app`. */
  "security-labels": Record<string, string>;
}

/** Every resource that pilus reads, by kind. */
export interface ResourceKinds {
  Namespace: Namespace;
  Pod: Pod;
  Service: Service;
  EndpointSlice: EndpointSlice;
  NetworkPolicy: NetworkPolicy;
  CiliumNetworkPolicy: CiliumNetworkPolicy;
  CiliumClusterwideNetworkPolicy: CiliumClusterwideNetworkPolicy;
  Node: Node;
  CiliumEndpoint: CiliumEndpoint;
  CiliumIdentity: CiliumIdentity;
}

/** The name of a kind that pilus reads. */
export type ResourceKind = keyof ResourceKinds;

/** `namespace/name`, or the name alone when it is cluster-wide: the key in tables. */
export function resourceKey({ metadata }: Resource): string {
  // joined, as a template's text would be a tree of its parts, and there are very many keys
  return metadata.namespace === "" ? metadata.name : [metadata.namespace, metadata.name].join("/");
}
