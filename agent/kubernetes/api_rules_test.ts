import { assertEquals, assertMatch } from "@std/assert";
import { parseManifest } from "./manifest.ts";

const API_VERSIONS: Record<string, string> = {
  NetworkPolicy: "networking.k8s.io/v1",
  EndpointSlice: "discovery.k8s.io/v1",
};

function read(kind: string, { metadata = {}, ...rest }: { metadata?: object }) {
  return parseManifest(JSON.stringify({
    apiVersion: API_VERSIONS[kind] ?? "v1",
    kind,
    metadata: { name: "a", ...metadata },
    ...rest,
  }));
}

const HTTP = { name: "http", port: 80 };
const long = (length: number) => "x".repeat(length);
const service = (spec: object, status = {}) => ({ spec: { ports: [HTTP], ...spec }, status });
const balanced = (...ingress: object[]) =>
  service({ type: "LoadBalancer" }, { loadBalancer: { ingress } });
const slice = (more: object) => ({
  addressType: "IPv4",
  endpoints: [{ addresses: ["10.0.0.1"] }],
  ...more,
});
const block = (cidr: string, ...except: string[]) => ({
  spec: { egress: [{ to: [{ ipBlock: { cidr, except } }] }] },
});
const port = (each: object) => ({ spec: { ingress: [{ ports: [each] }] } });
const pod = (ports: object[], more = {}) => ({ spec: { containers: [{ ports }], ...more } });

const SHARED = { containerPort: 80, hostPort: 80 };

/** What the API server refuses, by the rule that does. */
const REFUSED: [kind: string, rule: string, resource: object, message: RegExp][] = [
  ["Namespace", "name", { metadata: { name: "a.b" } }, /name is the string "a.b"/],
  ["Namespace", "long name", { metadata: { name: long(64) } }, /at most 63/],
  ["Namespace", "of the whole cluster", { metadata: { namespace: "b" } }, /must be left out/],
  ["Namespace", "label", { metadata: { labels: { a: "-" } } }, /labels.a is the string "-"/],
  [
    "Namespace",
    "key of a label",
    { metadata: { labels: { "a/b/c": "" } } },
    /key of metadata.labels/,
  ],
  ["Namespace", "annotation", { metadata: { annotations: { "a b": "" } } }, /key of metadata.ann/],
  [
    "Namespace",
    "annotations",
    { metadata: { annotations: { a: long(262_145) } } },
    /262144 are the/,
  ],
  ["Node", "of the whole cluster", { metadata: { namespace: "b" } }, /must be left out/],
  [
    "Node",
    "podCIDRs",
    { spec: { podCIDRs: ["10.1.0.0/24", "10.2.0.0/24"] } },
    /at most one of each/,
  ],
  ["Pod", "namespace", { metadata: { namespace: "A" } }, /namespace is the string "A"/],
  ["Pod", "port's name", pod([{ containerPort: 80, name: "a--b" }]), /must be a port name/],
  [
    "Pod",
    "hostNetwork",
    pod([{ containerPort: 80, hostPort: 81 }], { hostNetwork: true }),
    /same th/,
  ],
  [
    "Pod",
    "hostPort",
    pod([{ containerPort: 80, hostPort: 80 }, { containerPort: 81, hostPort: 80 }]),
    /hostPort 80\/TCP twice/,
  ],
  [
    "Pod",
    "an init container's hostPort",
    pod([], { initContainers: [{ name: "a", ports: [SHARED, SHARED] }] }),
    /hostPort 80\/TCP twice/,
  ],
  ["Service", "name", { ...service({}), metadata: { name: "a.b" } }, /begins with a letter/],
  ["Service", "name's first", { ...service({}), metadata: { name: "1a" } }, /begins with a letter/],
  ["Service", "clusterIPs", service({ clusterIPs: [""] }), /clusterIPs\[0\] is the string ""/],
  [
    "Service",
    "loadBalancerClass",
    service({ type: "LoadBalancer", loadBalancerClass: "a b" }),
    /such as/,
  ],
  ["Service", "ipMode", balanced({ hostname: "a", ipMode: "VIP" }), /has an ipMode, and no ip/],
  ["Service", "unknown ipMode", balanced({ ip: "192.0.2.1", ipMode: "x" }), /one of VIP, Proxy/],
  [
    "Service",
    "loadBalancerSourceRanges",
    service({ type: "LoadBalancer", loadBalancerSourceRanges: ["10.0.0.1"] }),
    /must be an IPv4 or IPv6 prefix/,
  ],
  [
    "Service",
    "externalTrafficPolicy",
    service({ type: "ExternalName", externalIPs: ["10.0.0.1"], externalTrafficPolicy: "Local" }),
    /no address that is reached from outside/,
  ],
  [
    "EndpointSlice",
    "addresses",
    slice({ endpoints: [{ addresses: [] }] }),
    /0 addresses, and must/,
  ],
  [
    "EndpointSlice",
    "many addresses",
    slice({ endpoints: [{ addresses: Array(101).fill("10.0.0.1") }] }),
    /101 addresses/,
  ],
  [
    "EndpointSlice",
    "endpoints",
    slice({ endpoints: Array(1001).fill({ addresses: ["10.0.0.1"] }) }),
    /1001 endpoints, and 1000/,
  ],
  [
    "EndpointSlice",
    "ports' names",
    slice({ ports: [{ port: 1 }, { name: "", port: 2 }] }),
    /two ports/,
  ],
  [
    "EndpointSlice",
    "port's name",
    slice({ ports: [{ name: "A", port: 1 }] }),
    /must be a port name/,
  ],
  [
    "EndpointSlice",
    "protocol",
    slice({ ports: [{ protocol: "", port: 1 }] }),
    /must be one of TCP/,
  ],
  [
    "EndpointSlice",
    "nodeName",
    slice({ endpoints: [{ addresses: ["10.0.0.1"], nodeName: "" }] }),
    /name/,
  ],
  ["NetworkPolicy", "policyTypes", { spec: { policyTypes: Array(3).fill("Ingress") } }, /3 items/],
  ["NetworkPolicy", "port's name", port({ port: "a--b" }), /must be a port name/],
  ["NetworkPolicy", "protocol", port({ protocol: "" }), /must be one of TCP/],
  ["NetworkPolicy", "except", block("10.0.0.0/8", "11.0.0.0/8"), /not within 10.0.0.0\/8/],
  ["NetworkPolicy", "all excepted", block("10.0.0.0/8", "10.0.0.0/8"), /all of 10.0.0.0\/8/],
  ["NetworkPolicy", "other family", block("::/0", "10.0.0.0/8"), /not within ::\/0/],
  ["Service", "ipFamilies", service({ ipFamilies: ["IPv4", "IPv4"] }), /IPv4 twice/],
  [
    "Service",
    "family of clusterIP",
    service({ clusterIP: "10.96.0.1", ipFamilies: ["IPv6"] }),
    /not of the family that ipFamilies says/,
  ],
  [
    "Service",
    "family of a name",
    { spec: { type: "ExternalName", ipFamilies: ["IPv4"] } },
    /has ipFamilies, which type ExternalName/,
  ],
  [
    "Pod",
    "ports' names",
    pod([{ containerPort: 80, name: "a" }, { containerPort: 81, name: "a" }]),
    /two ports of the name a/,
  ],
];

/** What the API server takes for a field that is not there, and what it takes all the same. */
const ACCEPTED: [kind: string, resource: object, seen: object][] = [
  ["NetworkPolicy", { metadata: { namespace: "" } }, { metadata: { namespace: "default" } }],
  ["NetworkPolicy", { spec: { podSelector: null } }, { spec: {} }],
  ["NetworkPolicy", { spec: { podSelector: { matchLabels: { a: null, b: "" } } } }, {
    spec: { podSelector: { matchLabels: { a: "", b: "" } } },
  }],
  ["Node", { spec: { podCIDR: "" } }, { spec: {} }],
  ["Node", { status: { addresses: [{ type: "Hostname" }] } }, {}],
  ["Pod", pod([{ containerPort: 80, protocol: "", hostPort: 0 }], { nodeName: "" }), {
    spec: { containers: [{ ports: [{ containerPort: 80, hostPort: 0 }] }] },
  }],
  ["Pod", pod([], { initContainers: ["a", "b"].map((name) => ({ name, ports: [SHARED] })) }), {}],
  ["Service", { spec: { type: "", ports: [{ name: "", port: 80, protocol: "" }] } }, {
    spec: { ports: [{ port: 80 }] },
  }],
  ["Service", service({ sessionAffinity: "", externalTrafficPolicy: "", selector: { a: "" } }), {
    spec: { ports: [HTTP], selector: { a: "" } },
  }],
  ["Service", { spec: { ports: [{ port: 80, targetPort: "" }] } }, {
    spec: { ports: [{ port: 80 }] },
  }],
  ["Service", { spec: { ports: [{ port: 80, targetPort: 0 }] } }, {}],
  ["Service", service({ sessionAffinityConfig: { clientIP: { timeoutSeconds: 9 } } }), {}],
  ["Service", balanced({ ip: "", hostname: "a.b" }), {
    status: { loadBalancer: { ingress: [{ hostname: "a.b" }] } },
  }],
  ["Service", service({ type: "LoadBalancer", loadBalancerSourceRanges: [" 10.0.0.0/8 "] }), {}],
];

Deno.test("resources of Kubernetes' kinds are held to the rules of the API server", () => {
  for (const [kind, rule, resource, message] of REFUSED) {
    const problems = read(kind, resource).problems.map(({ message }) => message).join("; ");
    assertMatch(problems, message, `${kind}: ${rule}`);
  }
});

Deno.test("empty texts and nothing count as missing where the API takes them so", () => {
  for (const [kind, resource, seen] of ACCEPTED) {
    const { problems, resources } = read(kind, resource);
    assertEquals(problems, [], JSON.stringify(resource));
    const found = resources[0]!.resource as unknown as Record<string, unknown>;
    for (const [field, value] of Object.entries(seen)) {
      const whole = field === "metadata" ? { labels: {}, name: "a", ...value } : value;
      assertEquals(found[field], whole, JSON.stringify(resource));
    }
  }
});
