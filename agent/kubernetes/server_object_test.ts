import { assertEquals, assertStringIncludes } from "@std/assert";
import { ServerObjectReader } from "./server_object.ts";
import type { ResourceKind } from "./resources.ts";

/** What the server keeps of every object. */
const BOOKKEEPING = {
  uid: "7f0e",
  resourceVersion: "71",
  generation: 3,
  creationTimestamp: "2026-11-28T12:00:00Z",
  managedFields: [{ manager: "kubectl" }],
  selfLink: "/x",
};

const read = (kind: ResourceKind, object: Record<string, unknown>) => {
  const metadata = {
    name: "x",
    namespace: "demo",
    ...BOOKKEEPING,
    ...object["metadata"] as object,
  };
  return new ServerObjectReader(kind).read(JSON.parse(JSON.stringify({ ...object, metadata })));
};

const META = { name: "x", namespace: "demo", labels: {} };
/** Of kinds of which the older one may have what both ask for. */
const DATED = { ...META, creationTimestamp: BOOKKEEPING.creationTimestamp };

Deno.test("what changes beside what is read makes no other resource, and newer fields no fault", () => {
  const cases: [kind: ResourceKind, object: Record<string, unknown>, resource: object][] = [
    [
      "Pod",
      {
        metadata: { annotations: { "example.com/seen": "now" }, newer: 1, labels: { app: "a" } },
        spec: {
          nodeName: "n",
          newer: {},
          containers: [{
            name: "c",
            image: "i",
            newer: [],
            ports: [{ containerPort: 80, newer: 1 }],
          }],
        },
        status: { phase: "Running", conditions: [{ lastProbeTime: "now" }] },
        newer: true,
      },
      {
        kind: "Pod",
        metadata: { ...DATED, labels: { app: "a" }, uid: "7f0e" },
        spec: { nodeName: "n", containers: [{ name: "c", ports: [{ containerPort: 80 }] }] },
      },
    ],
    [
      "Pod",
      { metadata: { annotations: { "kubernetes.io/config.mirror": "c0ffee" } }, spec: {} },
      { kind: "Pod", metadata: { ...DATED, uid: "c0ffee" }, spec: {} },
    ],
    [
      "Node",
      {
        metadata: { namespace: undefined, annotations: { ttl: "0" } },
        spec: { podCIDRs: ["10.1.0.0/24"], taints: [] },
        status: {
          conditions: [{ lastHeartbeatTime: "now" }],
          images: ["i"],
          addresses: [{ type: "InternalIP", address: "192.0.2.1", newer: 1 }],
        },
      },
      {
        kind: "Node",
        metadata: { ...META, namespace: "" },
        spec: { podCIDRs: ["10.1.0.0/24"] },
        status: { addresses: [{ type: "InternalIP", address: "192.0.2.1" }] },
      },
    ],
    [
      "Service",
      {
        metadata: { annotations: { "service.cilium.io/type": "NodePort" } },
        spec: { clusterIP: "10.96.0.9", newer: 1, ports: [{ port: 80, newer: "x" }] },
        status: { loadBalancer: { ingress: [{ ip: "192.0.2.9", newer: 1 }] }, conditions: [] },
      },
      {
        kind: "Service",
        metadata: { ...DATED, annotations: { "service.cilium.io/type": "NodePort" } },
        spec: { clusterIP: "10.96.0.9", ports: [{ port: 80 }] },
        status: { loadBalancer: { ingress: [{ ip: "192.0.2.9" }] } },
      },
    ],
    [
      "EndpointSlice",
      {
        metadata: { annotations: { "endpoints.kubernetes.io/last-change-trigger-time": "now" } },
        addressType: "IPv4",
        endpoints: [{
          addresses: ["10.1.0.2"],
          conditions: { ready: true, newer: true },
          targetRef: { kind: "Pod", name: "p", resourceVersion: "70" },
        }],
        ports: [{ port: 80, newer: 1 }],
      },
      {
        kind: "EndpointSlice",
        metadata: META,
        addressType: "IPv4",
        endpoints: { text: '[["10.1.0.2","+??",null,null,[null,"p"]]]', length: 1 },
        ports: [{ port: 80 }],
      },
    ],
    ["Namespace", { metadata: { namespace: undefined }, status: { phase: "Active" } }, {
      kind: "Namespace",
      metadata: { ...META, namespace: "" },
    }],
  ];
  for (const [kind, object, resource] of cases) {
    const found = read(kind, object);
    assertEquals(found.problems, [], kind);
    assertEquals(JSON.parse(JSON.stringify(found.resource)), resource, kind);
    // what is kept on disk is read as the same
    const again = new ServerObjectReader(kind).read(JSON.parse(JSON.stringify(found.parts)));
    assertEquals(again.resource, found.resource, kind);
  }
});

Deno.test("a rule of a policy with a field that is not known allows nothing; a denying one stays", () => {
  const podSelector = {}, from = [{ podSelector }], fromEndpoints = [{}];
  const cases: [kind: ResourceKind, spec: object, read: object, problem: string][] = [
    [
      "NetworkPolicy",
      {
        podSelector,
        policyTypes: ["Ingress"],
        ingress: [{ from }, { from: [{ podSelector, newer: 1 }] }, { from, newer: 1 }],
      },
      { podSelector, policyTypes: ["Ingress"], ingress: [{ from }] },
      "spec.ingress[1].from[0].newer is not a field known here: the rule that has it allows nothing",
    ],
    [
      "NetworkPolicy",
      { podSelector, policyTypes: ["Egress"], egress: [{ ports: [{ port: 80, newer: 1 }] }] },
      { podSelector, policyTypes: ["Egress"], egress: [] },
      "spec.egress[0].ports[0].newer",
    ],
    [
      "NetworkPolicy",
      { podSelector: { newer: 1, matchLabels: { a: "b" } }, newer: 2, policyTypes: ["Ingress"] },
      { podSelector: { matchLabels: { a: "b" } }, policyTypes: ["Ingress"] },
      "it is passed over",
    ],
    [
      "CiliumNetworkPolicy",
      { endpointSelector: {}, ingress: [{ fromEndpoints, newer: 1 }, { fromEndpoints }] },
      { endpointSelector: {}, ingress: [{}, { fromEndpoints }] },
      "spec.ingress[0].newer",
    ],
    [
      "CiliumNetworkPolicy",
      { endpointSelector: {}, ingressDeny: [{ fromEndpoints, newer: 1 }] },
      { endpointSelector: {}, ingressDeny: [{ fromEndpoints }] },
      "spec.ingressDeny[0].newer is not a field known here: it is passed over",
    ],
  ];
  for (const [kind, spec, expected, problem] of cases) {
    const { resource, problems } = read(kind, { spec, status: { newer: 1 } });
    assertEquals(JSON.parse(JSON.stringify(resource ?? null))?.spec, expected);
    assertStringIncludes(problems.join("\n"), problem);
  }
  const specs = [{ endpointSelector: {}, egress: [{ toEndpoints: [{}], newer: 1 }] }];
  const { resource, problems } = read("CiliumNetworkPolicy", { specs });
  assertEquals(JSON.parse(JSON.stringify(resource)).specs, [{
    endpointSelector: {},
    egress: [{}],
  }]);
  assertStringIncludes(problems.join("\n"), "specs[0].egress[0].newer");
});

Deno.test("what is wrong with an object is said, and then it is no resource", () => {
  const cases: [kind: ResourceKind, object: Record<string, unknown>, problem: string][] = [
    ["Service", { spec: { type: "Balancer" } }, 'spec.type is the string "Balancer"'],
    [
      "EndpointSlice",
      { addressType: "IPv4", endpoints: [{}] },
      "endpoints[0].addresses is missing",
    ],
    ["NetworkPolicy", { spec: { ingress: {} } }, "spec.ingress is a map, and must be a list"],
    ["CiliumNetworkPolicy", {}, "must have spec or specs"],
  ];
  for (const [kind, object, problem] of cases) {
    const { resource, problems } = read(kind, object);
    assertEquals(resource, undefined);
    assertStringIncludes(problems.join("\n"), problem);
  }
});
