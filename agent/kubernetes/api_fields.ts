/**
 * What becomes of each field of the API of Kubernetes 1.34 in the kinds of it that pilus acts upon. A
 * row speaks for all that is below its field, where no longer one does. Schemas take from it what they
 * pass over, and docs/kubernetes.md is made of it.
 */

/** The kinds. */
export type ApiKind = "Pod" | "Service" | "EndpointSlice" | "Node" | "NetworkPolicy";

/** What becomes of a field. */
export interface FieldRow {
  /** irrelevant: what it says is not for the network of a node; problem: `pilus status` names it. */
  verdict: "obeyed" | "irrelevant" | "problem";
  /** How, or why not. */
  text: string;
  /** The file that shows it, from the project's root; none shows what makes no difference. */
  test?: string;
}

type Rows = Readonly<Record<string, FieldRow>>;

const FRONTENDS = "agent/node/services/frontends_test.ts";
const FIELDS_TEST = "agent/node/services/fields_test.ts";
const KINDS_TEST = "tests/service_kinds_test.ts";
const POLICIES = "agent/node/policy/policy_test.ts";
const IPCACHE = "agent/node/ipcache/ipcache_test.ts";

const obeyed = (text: string, test: string): FieldRow => ({ verdict: "obeyed", text, test });
const problem = (text: string, test: string): FieldRow => ({ verdict: "problem", text, test });
const irrelevant = (text: string): FieldRow => ({ verdict: "irrelevant", text });

/** The same of several fields. */
function each(names: string, row: FieldRow, prefix = ""): Rows {
  return Object.fromEntries(names.split(" ").map((name) => [prefix + name, row]));
}

/** Of each kind, with what its labels and annotations are for. */
function common(
  labels: FieldRow,
  annotations = irrelevant("none of this kind is for pilus"),
): Rows {
  return {
    ...each(
      "apiVersion kind",
      obeyed("say how the rest is read", "agent/sources/files/manifest_file_test.ts"),
    ),
    metadata: irrelevant("of the API server's and controllers' bookkeeping"),
    "metadata.name": obeyed("the resource's name", "agent/sources/files/file_source_test.ts"),
    "metadata.namespace": obeyed("of what has one", "agent/sources/files/file_source_test.ts"),
    "metadata.deletionTimestamp": irrelevant("a resource counts until it is gone"),
    "metadata.labels": labels,
    "metadata.annotations": annotations,
  };
}

/** A container's ports, below `prefix`. */
function ports(prefix: string, kind: string): Rows {
  const protocol = problem(
    "TCP and UDP; a host port of SCTP is named as one that is not served",
    FRONTENDS,
  );
  return {
    [prefix]: irrelevant("what runs in the container, and how"),
    [`${prefix}.ports[].name`]: obeyed(
      `a port's name, ${kind}, in services and policies`,
      FRONTENDS,
    ),
    ...each("containerPort hostPort", obeyed("host ports", KINDS_TEST), `${prefix}.ports[].`),
    [`${prefix}.ports[].hostIP`]: obeyed("the node's address that has the host port", FRONTENDS),
    [`${prefix}.ports[].protocol`]: protocol,
  };
}

/** Of what claims addresses and ports. */
const AGE: Rows = {
  "metadata.creationTimestamp": obeyed(
    "of two that claim one address and port the elder keeps it",
    FRONTENDS,
  ),
};

const POD: Rows = {
  ...common(
    obeyed("identities and selectors", "agent/node/identity/labels_test.ts"),
    obeyed(
      "`kubernetes.io/egress-bandwidth` and `ingress-bandwidth`",
      "agent/node/bandwidth/limit_rows_test.ts",
    ),
  ),
  ...AGE,
  "spec.nodeName": obeyed("who may speak for the pod", "agent/cluster/trusted_addresses_test.ts"),
  ...each(
    "serviceAccountName serviceAccount",
    obeyed("a label of the identity", "agent/node/identity/labels_test.ts"),
    "spec.",
  ),
  "spec.hostNetwork": obeyed("the pod is the node, and has no host ports", FIELDS_TEST),
  ...ports("spec.containers[]", "of a container"),
  ...ports("spec.initContainers[]", "of a sidecar"),
  "spec.initContainers[].restartPolicy": obeyed(
    "Always makes it a sidecar, whose ports count",
    FRONTENDS,
  ),
  "spec.ephemeralContainers[]": irrelevant("they have no ports"),
  ...each(
    "activeDeadlineSeconds restartPolicy terminationGracePeriodSeconds readinessGates[]",
    irrelevant("when the pod runs and is ready: the kubelet's"),
    "spec.",
  ),
  ...each(
    "affinity nodeSelector tolerations[] topologySpreadConstraints[] priority priorityClassName " +
      "preemptionPolicy schedulerName schedulingGates[] overhead os runtimeClassName",
    irrelevant("where the pod is scheduled"),
    "spec.",
  ),
  ...each(
    "dnsConfig dnsPolicy hostAliases[] hostname hostnameOverride setHostnameAsFQDN subdomain " +
      "enableServiceLinks",
    irrelevant("names within the pod: the kubelet's and the DNS server's"),
    "spec.",
  ),
  ...each(
    "automountServiceAccountToken hostIPC hostPID hostUsers imagePullSecrets[] resourceClaims[] " +
      "resources securityContext shareProcessNamespace volumes[]",
    irrelevant("what containers have beside the network"),
    "spec.",
  ),
  status: irrelevant(
    "addresses are those that CNI gave, and readiness is what EndpointSlices say; a service without " +
      "any has each endpoint that runs",
  ),
};

const SERVICE: Rows = {
  ...AGE,
  ...common(
    obeyed("`service-proxy-name` and `headless` leave the service to others", FRONTENDS),
    obeyed(
      "of pilus and Cilium: mode, algorithm, states, weights",
      "agent/node/services/annotations_test.ts",
    ),
  ),
  "spec.type": obeyed("which addresses there are; ExternalName is the DNS server's", FRONTENDS),
  "spec.externalName": irrelevant("a name: the DNS server's"),
  ...each(
    "clusterIP clusterIPs[]",
    obeyed("frontends of both families, or none", FRONTENDS),
    "spec.",
  ),
  "spec.ipFamilies[]": obeyed("which families answer", FIELDS_TEST),
  "spec.ipFamilyPolicy": irrelevant(
    "which clusterIPs the API server gives: those that stand there count",
  ),
  "spec.selector": obeyed("backends of a service without EndpointSlices", FRONTENDS),
  "spec.ports[].name": obeyed("which port of a slice", FRONTENDS),
  "spec.ports[].protocol": problem("TCP and UDP; SCTP is named as not served", FRONTENDS),
  "spec.ports[].appProtocol": irrelevant("what is spoken above TCP and UDP"),
  "spec.ports[].port": obeyed("the frontend's port", FRONTENDS),
  "spec.ports[].targetPort": obeyed("without EndpointSlices, number or name", FRONTENDS),
  "spec.ports[].nodePort": problem(
    "at each address of the node; outside of `--node-port-range`, and missing with type NodePort, it " +
      "is named",
    FRONTENDS,
  ),
  "spec.externalIPs[]": obeyed("frontends", FRONTENDS),
  "spec.loadBalancerIP": obeyed("a frontend where the status has none", FRONTENDS),
  "spec.loadBalancerSourceRanges[]": obeyed("who may ask, at each way in", KINDS_TEST),
  "spec.loadBalancerClass": irrelevant("which controller makes the balancer: its status counts"),
  "spec.allocateLoadBalancerNodePorts": irrelevant(
    "whether the API server gives node ports: those that stand there count",
  ),
  ...each(
    "externalTrafficPolicy internalTrafficPolicy",
    obeyed("who answers", KINDS_TEST),
    "spec.",
  ),
  "spec.healthCheckNodePort": obeyed("answers the balancer's question", KINDS_TEST),
  "spec.publishNotReadyAddresses": obeyed("those that are not ready answer, too", FIELDS_TEST),
  ...each(
    "sessionAffinity sessionAffinityConfig.clientIP.timeoutSeconds",
    obeyed("a client keeps its backend, for its time", KINDS_TEST),
    "spec.",
  ),
  "spec.trafficDistribution": obeyed("near backends come first", FRONTENDS),
  status: irrelevant("conditions are for people and controllers"),
  "status.loadBalancer.ingress[].ip": obeyed("a frontend", FRONTENDS),
  "status.loadBalancer.ingress[].ipMode": obeyed("Proxy: packets go to the balancer", FRONTENDS),
  ...each(
    "hostname ports[]",
    irrelevant("a name, and what the balancer says of its ports"),
    "status.loadBalancer.ingress[].",
  ),
};

const ENDPOINT_SLICE: Rows = {
  ...common(obeyed("`kubernetes.io/service-name` is its service", FRONTENDS)),
  addressType: problem("IPv4 and IPv6; FQDN is named as not served", FIELDS_TEST),
  "endpoints[].addresses[]": obeyed("backends: the first, as by kube-proxy", FIELDS_TEST),
  "endpoints[].conditions": obeyed("states of backends", FRONTENDS),
  "endpoints[].nodeName": obeyed("whether a backend is here", FRONTENDS),
  "endpoints[].zone": obeyed("whether a backend is near", FRONTENDS),
  "endpoints[].hints.forZones[]": obeyed("from where a backend is asked", FRONTENDS),
  "endpoints[].hints.forNodes[]": obeyed("from where a backend is asked", FIELDS_TEST),
  "endpoints[].targetRef": irrelevant("which object it is, beside the pod's name"),
  ...each(
    "kind namespace name",
    obeyed("the pod, as flows and services are shown", "agent/kubernetes/slice_endpoints_test.ts"),
    "endpoints[].targetRef.",
  ),
  ...each(
    "hostname deprecatedTopology",
    irrelevant("a name of the DNS server's, and a field before zones had one"),
    "endpoints[].",
  ),
  ...each("name protocol port", obeyed("the backend's port", FRONTENDS), "ports[]."),
  "ports[].appProtocol": irrelevant("what is spoken above TCP and UDP"),
};

const NODE: Rows = {
  ...common(obeyed("the zone", FRONTENDS)),
  ...each("podCIDR podCIDRs[]", obeyed("addresses for pods, and routes to them", IPCACHE), "spec."),
  ...each(
    "providerID unschedulable taints[] configSource externalID",
    irrelevant("where pods are scheduled, and who made the node"),
    "spec.",
  ),
  status: irrelevant(
    "what the kubelet says of the machine; a node's state is in its EndpointSlices",
  ),
  ...each(
    "type address",
    obeyed("InternalIP and ExternalIP are the node's; names are not looked up", IPCACHE),
    "status.addresses[].",
  ),
};

const peers = obeyed("peers, by `matchLabels` and `matchExpressions`", POLICIES);
const policyPort = obeyed("TCP, UDP and SCTP by number, name and range", POLICIES);

const NETWORK_POLICY: Rows = {
  ...common(irrelevant("a policy is known by its name")),
  "spec.podSelector": obeyed("subjects, by `matchLabels` and `matchExpressions`", POLICIES),
  "spec.policyTypes[]": obeyed("what is isolated", POLICIES),
  ...Object.fromEntries(
    ["spec.ingress[].from[]", "spec.egress[].to[]"].flatMap((path) => [
      [`${path}.podSelector`, peers],
      [`${path}.namespaceSelector`, peers],
      [
        `${path}.ipBlock`,
        problem(
          "prefixes and their exceptions; one that holds addresses of pods or nodes is named, as it " +
            "does not match these",
          "agent/node/policy/peer_problems_test.ts",
        ),
      ],
    ]),
  ),
  ...each("spec.ingress[].ports[] spec.egress[].ports[]", policyPort),
};

/** By path, of which a list's items are `[]`. */
export const API_FIELDS: Readonly<Record<ApiKind, Rows>> = {
  Pod: POD,
  Service: SERVICE,
  EndpointSlice: ENDPOINT_SLICE,
  Node: NODE,
  NetworkPolicy: NETWORK_POLICY,
};

/** The fields right below one that are passed over, by name. */
export function passedOver(kind: ApiKind, path: string): string[] {
  return Object.entries(API_FIELDS[kind]).flatMap(([field, { verdict }]) => {
    const name = /^([^.[]+)(\[\])?$/.exec(field.slice(path.length + 1))?.[1];
    return verdict === "irrelevant" && field.startsWith(`${path}.`) && name ? [name] : [];
  });
}

/** The row that speaks for a field. */
export function rowOf(kind: ApiKind, path: string): [path: string, row: FieldRow] | undefined {
  const rows = API_FIELDS[kind];
  for (let at = path; at !== ""; at = at.replace(/(^|\.)[^.[]*$|\[\]$/, "")) {
    const row = Object.hasOwn(rows, at) ? rows[at] : undefined;
    if (row) return [at, row];
  }
  return undefined;
}
