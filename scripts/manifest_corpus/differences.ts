/** Where pilus and Kubernetes decide differently on purpose, and why. */

/** What others refuse and pilus need not. */
export interface TheirsOnly {
  /** Of a field's path and what is wrong with it, or of what the decoder says. */
  fault: RegExp;
  reason: string;
}

/** What pilus refuses and others take. */
export interface OursOnly {
  message: RegExp;
  reason: string;
}

export const KUBERNETES_ALONE: readonly TheirsOnly[] = [
  {
    fault:
      /^spec\.(initC|c)ontainers(\[\d+\]\.(name|image|command|env|resources|restartPolicy).*)?:/,
    reason:
      "pilus runs no containers: of these it reads ports, and of init containers what makes " +
      "sidecars of them",
  },
  {
    fault: /Go struct field (Container|EnvVar|Resource\w*)\.spec\.(initC|c)ontainers\.(?!ports)/,
    reason: "the same",
  },
  {
    fault:
      /^strict decoding error: (unknown field "spec\.(initC|c)ontainers\[\d+\]\.(?!ports)[^"]*"(, )?)+$/,
    reason: "the same",
  },
  { fault: /^quantities must match/, reason: "the same: limits of containers and nodes" },
  {
    fault: /^spec\.(restartPolicy|tolerations|nodeSelector|terminationGracePeriodSeconds)/,
    reason: "pilus schedules no pods",
  },
  {
    fault:
      /(PodSpec\.spec|Toleration\.spec\.tolerations)\.(?!containers|initContainers|hostNetwork|node\w*Name|serviceAccountName)/,
    reason: "the same",
  },
  {
    fault:
      /ObjectMeta\.metadata\.(?!name\b|namespace|labels|annotations)|ManagedFieldsEntry|OwnerReference/,
    reason: "pilus keeps no objects: it does not read what the API server and controllers write " +
      "about them",
  },
  { fault: /^metadata\.(finalizers|ownerReferences|managedFields|generation)/, reason: "the same" },
  { fault: /^parsing time /, reason: "the same" },
  {
    fault:
      /^spec\.(finalizers|taints|providerID|unschedulable)|Namespace(Spec)?\.(spec|status)|NodeSpec\.spec\.(?!podCIDR)|Taint\./,
    reason: "of Nodes and Namespaces pilus reads addresses, pod CIDRs and labels",
  },
  {
    fault: /(Pod|Node|Namespace)Status\.status\.(?!addresses)|Go struct field Pod\.status/,
    reason: "of a status pilus reads nodes' addresses and balancers' addresses",
  },
  {
    fault: /^status\.loadBalancer\.ingress(\[\d+\]\.hostname)?:/,
    reason: "of services of other types the status is not read, and names of balancers never",
  },
  {
    fault: /^spec\.(ipFamilyPolicy|externalName)/,
    reason: "how many families there are follows from the addresses, and names are for DNS",
  },
  {
    fault: /Service(Spec|Port)\.spec\.(ipFamilyPolicy|externalName|ports\.appProtocol)/,
    reason: "not read",
  },
  { fault: /^spec\.ports\[\d+\]\.appProtocol|^ports\[\d+\]\.appProtocol/, reason: "not read" },
  { fault: /^endpoints\[\d+\]\.(hostname|deprecatedTopology)/, reason: "not read" },
  {
    fault: /^endpoints\[\d+\]\.hints\.for(Zones|Nodes)/,
    reason: "a hint that says something twice, or names no zone there is, is no fault to traffic",
  },
  {
    fault: /^no kind "/,
    reason: "other kinds are counted in `pilus status` and not read",
  },
  {
    fault: /^endpoints\[\d+\]\.addresses\[\d+\]: .*(should be a domain|RFC 1123 subdomain)/,
    reason: "slices of FQDNs are no backends here",
  },
  {
    fault: /^metadata\.taints|^strict decoding error: unknown field "spec\.(taints|tolerations)\[/,
    reason: "not read",
  },
  {
    fault: /^strict decoding error: unknown field "status\./,
    reason: "programs write the status, and newer ones write more",
  },
  {
    fault: /^json: offset \d+: invalid character '\\n' in string literal/,
    reason: "what is not JSON may be YAML still",
  },
  {
    fault: /^invalid character '-' in numeric literal/,
    reason: "after JSON documents kubectl takes no mark of a document",
  },
  {
    fault: /invalid map key/,
    reason: "such a key is refused where it stands in something that is read",
  },
  {
    fault: /Object 'Kind' is missing in '\{"apiVersion":"v1","kind":""\}'/,
    reason: "an item of a list that is nothing is left out, as kubectl does",
  },
  { fault: /Endpoint\.endpoints\.(hostname|deprecatedTopology)/, reason: "not read" },
  {
    fault: /did not find expected <document start>/,
    reason: "a directive such as %YAML is YAML; kubectl takes it for a document of its own",
  },
  {
    fault: /^Object 'apiVersion' is missing in [^]*\uFEFF/,
    reason: "marks of byte order come into the midst of files that are put together",
  },
];

export const NOT_KUBERNETES: readonly OursOnly[] = [
  {
    message: /loadBalancerIP is the string/,
    reason: "Kubernetes leaves loadBalancerIP to controllers; here it is an address of the service",
  },
  {
    message: /podCIDRs\[\d+\] is the string/,
    reason: "Kubernetes leaves podCIDRs out when podCIDR is another",
  },
  {
    message: /hints\.for(Zones|Nodes)\[\d+\]\.name is missing/,
    reason: "Kubernetes takes a hint without a name for one to a zone of no name",
  },
  {
    message: /has an ipMode, and no ip that it is of/,
    reason: "Kubernetes says so of balancers alone, and refuses the rest of others' status",
  },
  {
    message: /EndpointSlice \S+: ports\[\d+\]\.port is the number/,
    reason: "Kubernetes does not look whether a slice's port is one",
  },
  {
    message: /hostIP is the string|which is no IPv4 or IPv6 address$/,
    reason: "Kubernetes does not look at the hostIP of no hostPort, nor at addresses of nodes",
  },
  {
    message: /nodePort is the number/,
    reason:
      "the API server refuses it as well, not by validation: it finds no such port to give away",
  },
  {
    message: /podCIDR .* is not the first of podCIDRs/,
    reason: "Kubernetes takes podCIDR and leaves podCIDRs out: one of them is a mistake",
  },
  {
    message: /not valid YAML: Map keys must be unique/,
    reason: "of two values of one key kubectl takes the last: one of them is a mistake",
  },
  {
    message: /\[\d+\] is empty/,
    reason:
      "an item that is nothing is more likely a slip than an empty text, or a rule that allows all",
  },
  {
    message: /the (address|string) "(0\d|::ffff:|[\d.]+\/0\d)/i,
    reason:
      "programs read 010.0.0.1 as 10.0.0.1 or as 8.0.0.1, and ::ffff:10.0.0.1 as either family",
  },
];

/** What pilus reads in another way. */
export interface OtherValue {
  path: RegExp;
  reason: string;
}

export const OTHER_VALUES: readonly OtherValue[] = [
  { path: /\.(resources|capacity)$/, reason: "quantities are not read" },
  {
    path: /^Service\.spec\.sessionAffinityConfig$/,
    reason: "Kubernetes drops it where sessionAffinity is None; pilus does not look at it then",
  },
];
