/** What manifests of each kind must look like: the fields of Kubernetes 1.34 and Cilium 1.18. */

import { cidrContainsCidr, parseCidr, tryParseCidr, tryParseIp } from "../../datapath/net/ip.ts";
import type {
  CiliumCidrRule,
  CiliumPolicySpec,
  LabelRequirement,
  NetworkPolicyPeer,
  NetworkPolicyPort,
  ResourceKind,
  SliceEndpoint,
} from "./resources.ts";
import { packEndpoints } from "./slice_endpoints.ts";
import { ICMP_TYPES } from "./icmp_types.ts";
import {
  anything,
  boolean,
  integer,
  list,
  numberOrText,
  object,
  oneOf,
  record,
  refine,
  type Schema,
  text,
} from "./schema.ts";

/** One kind of resource. */
export interface KindDefinition {
  /** API group and version; another version of the group is an error, another group another kind. */
  apiVersion: string;
  namespaced: boolean;
  schema: Schema;
  /** Makes of a resource that is as the API says one as the tables have it. */
  pack?: (resource: Record<string, unknown>) => Record<string, unknown>;
}

const DNS_LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const DNS_NAME = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const QUALIFIED_NAME = /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)$/;

const name = text(
  "a name of small letters, digits, '-' and '.'",
  (value) => value.length <= 253 && DNS_NAME.test(value),
);
const namespace = text(
  "a name of at most 63 small letters, digits and '-'",
  (value) => DNS_LABEL.test(value),
);
const portName = text(
  "a port name of at most 15 small letters, digits and '-', with a letter",
  (value) => value.length <= 15 && DNS_LABEL.test(value) && /[a-z]/.test(value),
);
const port = integer(1, 65535);
const portProtocol = oneOf("TCP", "UDP", "SCTP");
const ip = text("an IPv4 or IPv6 address", (value) => tryParseIp(value) !== undefined);
const cidr = text(
  "an IPv4 or IPv6 prefix such as 10.0.0.0/8",
  (value) => value.includes("/") && tryParseCidr(value) !== undefined,
);
const cidrOrIp = text(
  "an IPv4 or IPv6 prefix such as 10.0.0.0/8",
  (value) => tryParseCidr(value) !== undefined,
);

function isQualifiedName(value: string): boolean {
  const slash = value.indexOf("/");
  if (slash >= 0 && !DNS_NAME.test(value.slice(0, slash))) return false;
  return QUALIFIED_NAME.test(value.slice(slash + 1));
}
const LABEL_KEY = "a label key such as app or example.com/app";
const labelKey = text(LABEL_KEY, isQualifiedName);
/** With a source, such as `k8s:app` or `reserved:host`. */
const ciliumLabelKey = text(
  LABEL_KEY,
  (value) => isQualifiedName(value.replace(/^[a-z0-9]+[:.](?=.)/, "")) || isQualifiedName(value),
);
const labelValue = text(
  "a label value of at most 63 letters, digits, '-', '_' and '.'",
  (value) => value === "" || QUALIFIED_NAME.test(value),
);
const labels = record(labelValue, labelKey);

function labelSelector(key: Schema): Schema {
  return object({
    matchLabels: record(labelValue, key),
    matchExpressions: list(refine<LabelRequirement>(
      object({
        key,
        operator: oneOf("In", "NotIn", "Exists", "DoesNotExist"),
        values: list(labelValue),
      }, { required: ["key", "operator"] }),
      ({ operator, values }) => {
        const needs = operator === "In" || operator === "NotIn";
        const has = (values ?? []).length > 0;
        if (needs === has) return undefined;
        return `has operator ${operator}, which takes ${needs ? "at least one of" : "no"} values`;
      },
    )),
  });
}
const selector = labelSelector(labelKey);
const ciliumSelector = labelSelector(ciliumLabelKey);

const metadata = object({
  name,
  namespace,
  labels,
  annotations: record(text(), text()),
}, {
  required: ["name"],
  unused: [
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "managedFields",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
  ],
});

function resource(fields: Record<string, Schema>, required: string[] = []): Schema {
  return object({ apiVersion: text(), kind: text(), metadata, ...fields }, {
    required: ["metadata", ...required],
    unused: Object.hasOwn(fields, "status") ? [] : ["status"],
  });
}

const pod = resource({
  spec: object({
    nodeName: name,
    serviceAccountName: name,
    hostNetwork: boolean,
    containers: list(object({
      name: text(),
      ports: list(object({
        name: portName,
        containerPort: port,
        protocol: portProtocol,
        hostPort: integer(0, 65535),
        hostIP: text(
          "an IPv4 or IPv6 address",
          (value) => value === "" || tryParseIp(value) !== undefined,
        ),
      }, { required: ["containerPort"] })),
    }, { required: ["name"], open: true })),
  }, {
    // deno-fmt-ignore
    unused: [
      "activeDeadlineSeconds", "affinity", "automountServiceAccountToken", "dnsConfig",
      "dnsPolicy", "enableServiceLinks", "ephemeralContainers", "hostAliases", "hostIPC", "hostPID",
      "hostUsers", "hostname", "hostnameOverride", "imagePullSecrets", "initContainers",
      "nodeSelector", "os", "overhead", "preemptionPolicy", "priority", "priorityClassName",
      "readinessGates", "resourceClaims", "resources", "restartPolicy", "runtimeClassName",
      "schedulerName", "schedulingGates", "securityContext", "serviceAccount",
      "setHostnameAsFQDN", "shareProcessNamespace", "subdomain", "terminationGracePeriodSeconds",
      "tolerations", "topologySpreadConstraints", "volumes",
    ],
  }),
});

const clusterIp = text(
  "an IPv4 or IPv6 address, or None for a headless service",
  (value) => value === "None" || value === "" || tryParseIp(value) !== undefined,
);
const trafficPolicy = oneOf("Cluster", "Local");
const service = resource({
  spec: object({
    type: oneOf("ClusterIP", "NodePort", "LoadBalancer", "ExternalName"),
    clusterIP: clusterIp,
    clusterIPs: list(clusterIp),
    selector: labels,
    publishNotReadyAddresses: boolean,
    ports: list(object({
      name: text("a port name", (value) => DNS_LABEL.test(value)),
      protocol: portProtocol,
      port,
      targetPort: numberOrText(port, portName),
      nodePort: integer(0, 65535),
    }, { required: ["port"], unused: ["appProtocol"] })),
    externalIPs: list(ip),
    loadBalancerIP: text(
      "an IPv4 or IPv6 address",
      (value) => value === "" || tryParseIp(value) !== undefined,
    ),
    loadBalancerClass: text(),
    loadBalancerSourceRanges: list(cidrOrIp),
    allocateLoadBalancerNodePorts: boolean,
    externalTrafficPolicy: trafficPolicy,
    internalTrafficPolicy: trafficPolicy,
    healthCheckNodePort: integer(0, 65535),
    sessionAffinity: oneOf("ClientIP", "None"),
    sessionAffinityConfig: object({ clientIP: object({ timeoutSeconds: integer(1, 86400) }) }),
    trafficDistribution: oneOf("PreferClose", "PreferSameZone", "PreferSameNode"),
  }, { unused: ["externalName", "ipFamilies", "ipFamilyPolicy"] }),
  status: object({
    loadBalancer: object({ ingress: list(object({ ip }, { open: true })) }),
  }, { open: true }),
}, ["spec"]);

const endpointSlice = refine<{ addressType: string; endpoints?: { addresses: string[] }[] | null }>(
  resource({
    addressType: oneOf("IPv4", "IPv6", "FQDN"),
    endpoints: list(object({
      addresses: list(text()),
      conditions: object({ ready: boolean, serving: boolean, terminating: boolean }),
      nodeName: name,
      zone: text(),
      hints: object({
        forZones: list(object({ name: text() }, { required: ["name"] })),
        forNodes: list(object({ name: text() }, { required: ["name"] })),
      }),
      targetRef: object({ kind: text(), namespace: text(), name: text() }, { open: true }),
    }, {
      required: ["addresses"],
      unused: ["deprecatedTopology", "hostname"],
    })),
    ports: list(object({
      name: text(),
      protocol: portProtocol,
      port,
    }, { unused: ["appProtocol"] })),
  }, ["addressType"]),
  ({ addressType, endpoints }) => {
    if (addressType === "FQDN") return undefined;
    for (const address of (endpoints ?? []).flatMap((endpoint) => endpoint.addresses)) {
      const family = address.includes(":") ? "IPv6" : "IPv4";
      if (tryParseIp(address) && family === addressType) continue;
      return `has addressType ${addressType} and the address ${JSON.stringify(address)}`;
    }
    return undefined;
  },
);

const networkPolicyPorts = list(refine<NetworkPolicyPort>(
  object({ protocol: portProtocol, port: numberOrText(port, portName), endPort: port }),
  ({ port, endPort }) => {
    if (endPort === undefined || endPort === null) return undefined;
    if (typeof port !== "number") return "has an endPort, which needs a port that is a number";
    return endPort < port ? `has endPort ${endPort}, which is less than port ${port}` : undefined;
  },
));
const networkPolicyPeers = list(refine<NetworkPolicyPeer>(
  object({
    podSelector: selector,
    namespaceSelector: selector,
    ipBlock: refine<{ cidr: string; except?: string[] }>(
      object({ cidr, except: list(cidr) }, { required: ["cidr"] }),
      exceptOutside,
    ),
  }),
  ({ podSelector, namespaceSelector, ipBlock }) => {
    if (ipBlock && (podSelector || namespaceSelector)) {
      return "has an ipBlock with a selector; make it two entries of the list";
    }
    if (ipBlock || podSelector || namespaceSelector) return undefined;
    return "names no peer; give podSelector, namespaceSelector or ipBlock ({} selects all)";
  },
));

function exceptOutside({ cidr, except }: { cidr?: string; except?: string[] }): string | undefined {
  if (!cidr) return undefined;
  const outside = except?.find((inner) => !cidrContainsCidr(parseCidr(cidr), parseCidr(inner)));
  return outside === undefined ? undefined : `excepts ${outside}, which is not within ${cidr}`;
}

const networkPolicy = resource({
  spec: object({
    podSelector: selector,
    policyTypes: list(oneOf("Ingress", "Egress")),
    ingress: list(object({ from: networkPolicyPeers, ports: networkPolicyPorts })),
    egress: list(object({ to: networkPolicyPeers, ports: networkPolicyPorts })),
  }, { required: ["podSelector"] }),
}, ["spec"]);

const ciliumCidrs = list(refine<CiliumCidrRule>(
  object({
    cidr,
    except: list(cidr),
    cidrGroupRef: text(),
    cidrGroupSelector: ciliumSelector,
  }),
  (rule) => {
    if (rule.cidr || rule.cidrGroupRef || rule.cidrGroupSelector) return exceptOutside(rule);
    return "names no prefix; give cidr";
  },
));
const ciliumToPorts = list(object({
  ports: list(refine<{ port: string; endPort?: number }>(
    object({
      port: text(
        "a port from 0 to 65535 or a port name, in quotes",
        (value) =>
          /^[0-9]+$/.test(value) ? Number(value) <= 65535 : /^[a-z0-9-]{1,63}$/.test(value),
      ),
      endPort: integer(0, 65535),
      protocol: oneOf("TCP", "UDP", "SCTP", "ICMP", "ICMPv6", "ANY"),
    }, { required: ["port"] }),
    ({ port, endPort }) => {
      if (!endPort) return undefined;
      if (!/^[0-9]+$/.test(port)) return "has an endPort, which needs a port that is a number";
      return endPort < Number(port)
        ? `has endPort ${endPort}, which is less than port ${port}`
        : undefined;
    },
  )),
  rules: anything,
  terminatingTLS: anything,
  originatingTLS: anything,
  serverNames: list(text()),
  listener: anything,
}));
const entities = list(oneOf(
  "all",
  "world",
  "world-ipv4",
  "world-ipv6",
  "cluster",
  "cluster-mesh",
  "host",
  "init",
  "ingress",
  "unmanaged",
  "remote-node",
  "health",
  "none",
  "kube-apiserver",
));

const icmps = list(object({
  fields: list(refine<{ family?: "IPv4" | "IPv6"; type: number | string }>(
    object({
      family: oneOf("IPv4", "IPv6"),
      type: numberOrText(integer(0, 255), text("an ICMP type")),
    }, { required: ["type"] }),
    ({ family, type }) => {
      if (typeof type === "number" || /^[0-9]{1,3}$/.test(type)) return undefined;
      if (Object.hasOwn(ICMP_TYPES[family ?? "IPv4"], type)) return undefined;
      return `has the unknown ${family ?? "IPv4"} ICMP type ${type}; give its number`;
    },
  )),
}));

function ciliumRule(word: "from" | "to", deny: boolean): Schema {
  const egressOnly: Record<string, Schema> = { toServices: list(anything) };
  if (!deny) egressOnly["toFQDNs"] = list(anything);
  return object({
    [`${word}Endpoints`]: list(ciliumSelector),
    [`${word}CIDR`]: list(cidrOrIp),
    [`${word}CIDRSet`]: ciliumCidrs,
    [`${word}Entities`]: entities,
    [`${word}Nodes`]: list(anything),
    [`${word}Groups`]: list(anything),
    [`${word}Requires`]: list(anything),
    ...(word === "to" ? egressOnly : {}),
    toPorts: ciliumToPorts,
    icmps,
    ...(deny ? {} : { authentication: anything }),
  });
}

function ciliumSpec(clusterwide: boolean): Schema {
  return refine<CiliumPolicySpec>(
    object({
      endpointSelector: ciliumSelector,
      nodeSelector: ciliumSelector,
      ingress: list(ciliumRule("from", false)),
      ingressDeny: list(ciliumRule("from", true)),
      egress: list(ciliumRule("to", false)),
      egressDeny: list(ciliumRule("to", true)),
      enableDefaultDeny: object({ ingress: boolean, egress: boolean }),
      description: text(),
    }, { unused: ["labels", "log"] }),
    ({ endpointSelector, nodeSelector }) => {
      if (nodeSelector && !clusterwide) {
        return "has a nodeSelector, which is for CiliumClusterwideNetworkPolicy alone";
      }
      if (!endpointSelector === !nodeSelector) {
        return "must have one of endpointSelector and nodeSelector ({} selects all)";
      }
      return undefined;
    },
  );
}
function ciliumPolicy(clusterwide: boolean): Schema {
  const spec = ciliumSpec(clusterwide);
  return refine<{ spec?: unknown; specs?: unknown }>(
    resource({ spec, specs: list(spec) }),
    (value) => value.spec || value.specs ? undefined : "must have spec or specs",
  );
}

const node = resource({
  spec: object({ podCIDR: cidr, podCIDRs: list(cidr) }, {
    unused: ["configSource", "externalID", "providerID", "taints", "unschedulable"],
  }),
  status: object({
    addresses: list(refine<{ type: string; address: string }>(
      object({ type: text(), address: text() }, { required: ["type", "address"] }),
      ({ type, address }) =>
        type.endsWith("IP") && !tryParseIp(address)
          ? `has the ${type} ${JSON.stringify(address)}, which is no IPv4 or IPv6 address`
          : undefined,
    )),
  }, { open: true }),
});

const identityNumber = integer(1, 0xffff_ffff);
const ciliumEndpoint = resource({
  status: object({
    id: integer(0, 0xffff_ffff),
    identity: object({ id: identityNumber, labels: list(text()) }, { required: ["id"] }),
    networking: object({
      addressing: list(object({ ipv4: ip, ipv6: ip })),
      node: ip,
    }, { required: ["addressing", "node"] }),
    state: text(),
    "named-ports": list(object({ name: text(), port, protocol: portProtocol }, {
      required: ["name", "port", "protocol"],
    })),
    "service-account": text(),
  }, { required: ["id", "identity", "networking"], open: true }),
}, ["status"]);

const ciliumIdentity = refine<{ metadata: { name: string } }>(
  resource({ "security-labels": record(text(), text()) }, ["security-labels"]),
  ({ metadata }) =>
    /^[1-9][0-9]{0,9}$/.test(metadata.name)
      ? undefined
      : `is named ${metadata.name}, and must be named by its number`,
);

/** The definition of each kind that pilus reads. */
export const KINDS: Record<ResourceKind, KindDefinition> = {
  Namespace: { apiVersion: "v1", namespaced: false, schema: resource({ spec: anything }) },
  Pod: { apiVersion: "v1", namespaced: true, schema: pod },
  Service: { apiVersion: "v1", namespaced: true, schema: service },
  EndpointSlice: {
    apiVersion: "discovery.k8s.io/v1",
    namespaced: true,
    schema: endpointSlice,
    pack: ({ endpoints, ...slice }) => ({
      ...slice,
      ...(endpoints ? { endpoints: packEndpoints(endpoints as SliceEndpoint[]) } : {}),
    }),
  },
  NetworkPolicy: { apiVersion: "networking.k8s.io/v1", namespaced: true, schema: networkPolicy },
  CiliumNetworkPolicy: {
    apiVersion: "cilium.io/v2",
    namespaced: true,
    schema: ciliumPolicy(false),
  },
  CiliumClusterwideNetworkPolicy: {
    apiVersion: "cilium.io/v2",
    namespaced: false,
    schema: ciliumPolicy(true),
  },
  Node: { apiVersion: "v1", namespaced: false, schema: node },
  CiliumEndpoint: { apiVersion: "cilium.io/v2", namespaced: true, schema: ciliumEndpoint },
  CiliumIdentity: { apiVersion: "cilium.io/v2", namespaced: false, schema: ciliumIdentity },
};
