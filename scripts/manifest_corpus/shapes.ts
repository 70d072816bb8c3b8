/** The kinds of the corpus: the fields that pilus reads, and some that it passes over. */

import { type KindShape, list, map, type Shape, value } from "./shape.ts";

const NAMES = ["a", "web", "web-0", "a1", "x".repeat(63)];
const BAD_NAMES = ["", "A", "a_b", "-a", "a-", "a..b", "a.", "x".repeat(64), "x".repeat(254), "é"];
export const subdomain = value([...NAMES, "a.b", "1a", "x".repeat(200)], BAD_NAMES);
const label = value([...NAMES, "1a"], [...BAD_NAMES, "a.b"]);
const serviceName = value(NAMES, [...BAD_NAMES, "a.b", "1a"]);
export const labelValue = value(
  ["", "web", "A_b.c-1", "1", "true", "x".repeat(63)],
  [null, 1, 1.5, true, "-a", "a-", "a b", "x".repeat(64), "a/b", "é"],
);
const KEYS = ["app", "example.com/app", "a.b/C_d.e", "1"];
const BAD_KEYS = [
  "",
  "a/b/c",
  "/a",
  "a/",
  "-a",
  "a b",
  "A.b/c",
  `${"x".repeat(64)}`,
  "é",
  "k8s:app",
];

const labels = map(Object.fromEntries(KEYS.map((key) => [key, labelValue])), [], BAD_KEYS);

const annotations = map({
  note: value(["", "x", "é ü", "a: b # c", "two\nlines"], [null, 1, true, {}]),
  "example.com/note": value(["x"], [null]),
  "Upper.example/x": value(["x"]),
  "a b": value(["x"]),
});

export function metadata(name: Shape, namespaced: boolean): Shape {
  return map({
    name,
    namespace: namespaced
      ? value(["default", "demo", "kube-system"], ["", null, "Demo", "a.b", "x".repeat(64)])
      : value([""], ["default", null]),
    labels,
    annotations,
    uid: value(["5b1c0a37-0000-4000-8000-000000000000"]),
    resourceVersion: value(["12"]),
    creationTimestamp: value([null, "2026-01-02T03:04:05Z"], ["yesterday", 7]),
    generation: value([1], ["1"]),
    managedFields: value([[]]),
    ownerReferences: value([[]]),
    finalizers: value([[], ["example.com/x"]]),
  }, ["name"]);
}

const expression = map({
  key: value(KEYS, BAD_KEYS),
  operator: value(["In", "NotIn", "Exists", "DoesNotExist"], ["in", "", "Equals", null]),
  values: list(labelValue),
}, ["key", "operator"]);
const selector = map({ matchLabels: labels, matchExpressions: list(expression, 1) });

const number = value([80, 443, 1, 65535], [0, -1, 65536, "80", 80.5, 1e3, null, "", 2 ** 31]);
const portName = value(
  ["http", "a1", "1a", "a-b", "x".repeat(15)],
  ["HTTP", "80", "a--b", "-a", "", "x".repeat(16), "a_b", "é", "a.b"],
);
const numberOrName = value([80, "http", 65535, "a-b"], [0, -1, 65536, "80", "", "A", "a--b", 8.5]);
const protocol = value(["TCP", "UDP", "SCTP"], ["", "tcp", "ICMP", null, "ANY", 6]);

export const CIDRS = [
  "10.0.0.0/8",
  "0.0.0.0/0",
  "192.168.0.0/16",
  "fd00::/8",
  "::/0",
  "10.1.2.0/24",
];
export const BAD_CIDRS = [
  ...["10.0.0.1", "10.0.0.0/33", "10.0.0/8", "", "10.0.0.0/08", "fd00::/129", "a", " 10.0.0.0/8"],
  ...["10.0.0.1/8", "010.0.0.0/8", "::ffff:10.0.0.0/104", "10.0.0.0/8 ", "fe80::%eth0/64", "/8"],
];
const cidr = value(CIDRS, BAD_CIDRS);
const ADDRESSES = ["10.0.0.1", "192.0.2.7", "fd00::1", "2001:db8::1"];
const BAD_ADDRESSES = [
  ...["", "127.0.0.1", "0.0.0.0", "::", "::1", "169.254.1.1", "fe80::1", "224.0.0.1", "ff02::1"],
  ...["10.0.0", "10.0.0.256", "010.0.0.1", "a", " 10.0.0.1", "10.0.0.1/32", "::ffff:10.0.0.1"],
  ...["255.255.255.255", "fd00:0:0::1", "FD00::1", "1.2.3.4.5", "::ffff:0a00:0001", "fd00::1%1"],
];
const address = value(ADDRESSES, BAD_ADDRESSES);
const ipv4 = value(["10.0.0.1", "192.0.2.7"], BAD_ADDRESSES);

const networkPolicyPort = map({
  protocol,
  port: numberOrName,
  endPort: value([65535, 90, 443], [0, 1, -1, 65536, "90", null]),
});
const peer = map({
  podSelector: selector,
  namespaceSelector: selector,
  ipBlock: map({ cidr, except: list(cidr, 1) }, ["cidr"]),
});
const onePeer: Shape[] = [
  map({ podSelector: selector }, ["podSelector"]),
  map({ namespaceSelector: selector, podSelector: selector }, ["namespaceSelector"]),
  map({
    ipBlock: map({
      cidr: value(["10.0.0.0/8", "0.0.0.0/0"], BAD_CIDRS),
      except: list(value(["10.1.0.0/16", "10.1.2.0/24"], [...BAD_CIDRS, "10.0.0.0/8", "fd00::/8"])),
    }, ["cidr"]),
  }, ["ipBlock"]),
  peer,
];
const peers = { kind: "list", item: onePeer[0]!, max: 2 } as const;

const networkPolicy = map({
  metadata: metadata(subdomain, true),
  spec: map({
    podSelector: selector,
    policyTypes: value(
      [["Ingress"], ["Egress"], ["Ingress", "Egress"], []],
      [["ingress"], ["Ingress", "Ingress"], ["Ingress", "Egress", "Ingress"], [""], null, ["X"]],
    ),
    ingress: list(map({ from: peers, ports: list(networkPolicyPort) })),
    egress: list(map({ to: { ...peers, item: onePeer[2]! }, ports: list(networkPolicyPort) })),
  }, ["podSelector"]),
}, ["metadata", "spec"]);
const otherPeers = map({
  metadata: metadata(subdomain, true),
  spec: map({
    podSelector: selector,
    ingress: list(map({ from: { ...peers, item: onePeer[1]! } })),
    egress: list(map({ to: { ...peers, item: onePeer[3]! } })),
  }, ["podSelector"]),
}, ["metadata", "spec"]);

const clusterIp = value(["10.96.0.10", ""], [...BAD_ADDRESSES, "None", null, "fd00::10"]);
const servicePort = map({
  name: portName,
  protocol,
  port: number,
  targetPort: numberOrName,
  nodePort: value([0, 30080], [-1, 65536, "30080", null, 80]),
  appProtocol: value(["http", "example.com/x"], ["a b"]),
}, ["port"]);

const serviceFields = {
  selector: labels,
  clusterIP: clusterIp,
  clusterIPs: value([["10.96.0.10"], [], ["10.96.0.10", "fd00::10"]], [
    ...[["fd00::10"], ["10.96.0.10", "10.96.0.11"], ["None"], [""], ["a"], ["None", "10.96.0.10"]],
    ...[["10.96.0.10", "fd00::10", "10.96.0.11"], null],
  ]),
  externalIPs: list(address, 1),
  internalTrafficPolicy: value(["Cluster", "Local"], ["", "local", null]),
  sessionAffinity: value(["None", "ClientIP"], ["", "clientip"]),
  publishNotReadyAddresses: value([true, false], ["yes", "true", 1, null]),
  trafficDistribution: value(["PreferClose"], ["", "Near", null, "PreferSameZone"]),
  ipFamilyPolicy: value(["SingleStack", "PreferDualStack"], ["", "Single"]),
  ipFamilies: value([["IPv4"]], [["IPv5"], ["IPv4", "IPv4"], ["IPv6"]]),
};
const outsideFields = {
  externalTrafficPolicy: value(["Cluster", "Local"], ["", "local", null]),
  loadBalancerIP: value(["192.0.2.9", ""], ["a"]),
  loadBalancerClass: value(["example.com/lb"], ["", "a b", null]),
  loadBalancerSourceRanges: list(cidr, 1),
  allocateLoadBalancerNodePorts: value([true, false], ["no", null]),
  healthCheckNodePort: value([0, 30090], [-1, 65536, 80]),
};
const sessionAffinityConfig = map({
  clientIP: map({ timeoutSeconds: value([1, 10800, 86400], [0, 86401, -1, "7", null]) }),
});

function service(type: Shape, more: Record<string, Shape>, required: string[]): Shape {
  return map({
    metadata: metadata(serviceName, true),
    spec: map({ type, ports: list(servicePort), ...serviceFields, ...more }, required),
    status: map({
      loadBalancer: map({
        ingress: list(map({
          ip: address,
          hostname: value(["a.example"], ["A b", ""]),
          ipMode: value(["VIP", "Proxy"], ["", "vip", null]),
        })),
      }),
    }),
  }, ["metadata", "spec"]);
}

const conditions = map({
  ready: value([true, false, null], ["yes", 1]),
  serving: value([true, false], ["true"]),
  terminating: value([true, false]),
});
const endpoint = map({
  addresses: list(ipv4, 2),
  conditions,
  nodeName: value(["node-a", "a.b"], ["Node", "", "a_b"]),
  zone: value(["zone-1"], ["", 1]),
  hostname: value(["web-0"], ["Web", "a.b"]),
  targetRef: map({
    kind: value(["Pod", "Node"]),
    namespace: value(["demo"]),
    name: value(["web-0"]),
  }),
  hints: map({
    forZones: list(map({ name: value(["zone-1"], ["", "a b"]) }, ["name"]), 1),
    forNodes: list(map({ name: value(["node-a"], ["", "a b"]) }, ["name"]), 1),
  }),
}, ["addresses"]);
const endpointSlice = map({
  metadata: metadata(subdomain, true),
  addressType: value(["IPv4"], ["IPv6", "FQDN", "", "ipv4", null, "IP"]),
  endpoints: list(endpoint),
  ports: list(map({
    name: value(["", "http", "a-b"], ["HTTP", "a_b", "x".repeat(64), null]),
    protocol,
    port: value([80, 443, 65535], [0, -1, 65536, "80", null]),
    appProtocol: value(["http"], ["a b"]),
  }, ["port"])),
}, ["metadata", "addressType", "endpoints"]);

const containerPort = map({
  name: portName,
  containerPort: number,
  protocol,
  hostPort: value([0, 8080], [-1, 65536, "8080", null]),
  hostIP: value(["", "10.0.0.1", "fd00::1"], ["a", "127.0.0.1", "0.0.0.0", "010.0.0.1"]),
}, ["containerPort"]);
const container = map({
  name: value(["c", "web", "a1"], ["", "C", "a.b", "x".repeat(64)]),
  image: value(["i", "example.com/i:1"], ["", " i"]),
  ports: list(containerPort, 1),
  command: value([["sleep", "1"], []], ["sleep", [1]]),
  env: value([[{ name: "A", value: "b" }]], [[{ name: "A", value: 1 }]]),
  resources: value([{}, { limits: { cpu: 1, memory: "1Gi" } }], [{ limits: { cpu: "x" } }]),
}, ["name", "image"]);
const pod = map({
  metadata: metadata(subdomain, true),
  spec: map({
    containers: { kind: "list", item: container, max: 1 },
    initContainers: list(
      map({
        name: value(["init"], ["", "c"]),
        image: value(["i"]),
        restartPolicy: value(["Always"], ["Never", "", null]),
        ports: list(containerPort, 1),
      }, ["name", "image"]),
      1,
    ),
    nodeName: value(["node-a", "a.b"], ["", "Node", "a_b", null]),
    serviceAccountName: value(["default", "sa.x"], ["", "SA", "a_b"]),
    hostNetwork: value([true, false], ["yes", "true", 1, null]),
    restartPolicy: value(["Always", "Never"], ["", "Sometimes"]),
    nodeSelector: labels,
    tolerations: value([[{ operator: "Exists" }]], [[{ operator: "x" }]]),
    terminationGracePeriodSeconds: value([30], [-1, "30"]),
  }, ["containers"]),
  status: value([{}, { phase: "Running", podIP: "10.60.1.2" }], [{ phase: 1 }]),
}, ["metadata", "spec"]);

const node = map({
  metadata: metadata(subdomain, false),
  spec: map({
    podCIDR: value(["10.60.1.0/24"], [...BAD_CIDRS, "fd60::/64"]),
    podCIDRs: value([["10.60.1.0/24"], ["10.60.1.0/24", "fd60::/64"], []], [
      ...[["fd60::/64"], [""], ["a"], ["10.60.1.0/24", "10.60.2.0/24"], null],
    ]),
    unschedulable: value([true, false], ["yes"]),
    taints: value([[{ key: "a", effect: "NoSchedule" }]], [[{ key: "", effect: "No" }]]),
    providerID: value(["x://1"]),
  }),
  status: map({
    addresses: list(map({
      type: value(["InternalIP", "ExternalIP", "Hostname", "InternalDNS"], ["", null]),
      address: value(["192.168.60.1", "fd60::1"], ["", "a", "127.0.0.1", null]),
    }, ["type", "address"])),
    capacity: value([{ cpu: "4" }], [{ cpu: "x" }]),
  }),
}, ["metadata"]);

const namespace = map({
  metadata: metadata(label, false),
  spec: value([{}, { finalizers: ["kubernetes"] }], [{ finalizers: ["a b"] }, "x"]),
  status: value([{}, { phase: "Active" }]),
}, ["metadata"]);

export const SHAPES: readonly KindShape[] = [
  { apiVersion: "v1", kind: "Namespace", shape: namespace },
  { apiVersion: "v1", kind: "Node", shape: node },
  { apiVersion: "v1", kind: "Pod", shape: pod },
  { apiVersion: "v1", kind: "Pod", shape: pod },
  { apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy", shape: networkPolicy },
  { apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy", shape: otherPeers },
  { apiVersion: "discovery.k8s.io/v1", kind: "EndpointSlice", shape: endpointSlice },
  {
    apiVersion: "v1",
    kind: "Service",
    shape: service(value(["ClusterIP"], ["", "clusterip", null, "NodePort"]), {}, ["ports"]),
  },
  {
    apiVersion: "v1",
    kind: "Service",
    shape: service(value(["LoadBalancer", "NodePort"]), outsideFields, ["type", "ports"]),
  },
  {
    apiVersion: "v1",
    kind: "Service",
    shape: service(
      value(["LoadBalancer", "ClusterIP", "NodePort", "ExternalName"]),
      {
        ...outsideFields,
        sessionAffinityConfig,
        externalName: value(["a.example"], ["", "A b", "10.0.0.1"]),
      },
      ["type"],
    ),
  },
];
