import { assertEquals, assertStringIncludes } from "@std/assert";
import { parseManifest } from "./manifest.ts";

/** What the reader says of a resource; undefined: nothing. */
function wrong(kind: string, apiVersion: string, rest: object): string | undefined {
  const metadata = { name: "web", namespace: "demo" };
  const { problems } = parseManifest(JSON.stringify({ apiVersion, kind, metadata, ...rest }));
  return problems[0]?.message;
}

const HTTP = { name: "http", port: 80 }, DNS = { name: "dns", port: 53, protocol: "UDP" };

/** As the API server of Kubernetes 1.34 answers. */
const SERVICES: [spec: object, fault?: string][] = [
  [{ clusterIP: "10.96.0.1", ports: [{ port: 80 }] }],
  [{ clusterIP: "10.96.0.1", ports: [HTTP, DNS] }],
  [{ clusterIP: "10.96.0.1", ports: [] }, "has no ports"],
  [
    {
      externalIPs: Array.from({ length: 100 }, (_, i) => `192.0.2.${i}`),
      ports: Array.from({ length: 100 }, (_, i) => ({ name: `p${i}`, port: 1 + i })),
    },
    "has 10100 frontends",
  ],
  [{ clusterIP: "None" }],
  [{ type: "ExternalName", externalName: "example.com" }],
  [{ type: "NodePort", clusterIP: "None", ports: [HTTP] }, "is headless"],
  [{ type: "ExternalName", clusterIP: "10.96.0.1" }, "type ExternalName does not have"],
  [{ clusterIP: "10.96.0.1", clusterIPs: ["10.96.0.1", "fd00::1"], ports: [HTTP] }],
  [{ clusterIP: "10.96.0.2", clusterIPs: ["10.96.0.1"], ports: [HTTP] }, "must be the same"],
  [{ clusterIPs: ["10.96.0.1"], ports: [HTTP] }, "must be the same"],
  [
    { clusterIP: "10.96.0.1", clusterIPs: ["10.96.0.1", "10.96.0.2"], ports: [HTTP] },
    "one of each family",
  ],
  [{ clusterIP: "None", clusterIPs: ["None", "fd00::1"], ports: [HTTP] }, "one of each family"],
  [{ ports: [HTTP, { port: 81 }] }, "must all have names"],
  [{ ports: [HTTP, { ...HTTP, port: 81 }] }, "two ports of the name http"],
  [{ ports: [HTTP, { name: "again", port: 80 }] }, "has the port 80/TCP twice"],
  [{ ports: [HTTP, { name: "quic", port: 80, protocol: "UDP" }] }],
  [{ ports: [{ ...HTTP, nodePort: 30080 }] }, "has a nodePort"],
  [{ type: "NodePort", ports: [{ ...HTTP, nodePort: 30080 }] }],
  [
    {
      type: "NodePort",
      ports: [{ ...HTTP, nodePort: 30080 }, { name: "b", port: 81, nodePort: 30080 }],
    },
    "has the nodePort 30080/TCP twice",
  ],
  [{ ports: [HTTP], loadBalancerSourceRanges: ["10.0.0.0/8"] }, "has loadBalancerSourceRanges"],
  [{ type: "LoadBalancer", ports: [HTTP], loadBalancerSourceRanges: ["10.0.0.0/8"] }],
  [{ ports: [HTTP], loadBalancerClass: "example.com/a" }, "has loadBalancerClass"],
  [{ ports: [HTTP], allocateLoadBalancerNodePorts: false }, "has allocateLoadBalancerNodePorts"],
  [{ ports: [HTTP], externalTrafficPolicy: "Local" }, "reached from outside"],
  [{ ports: [HTTP], externalTrafficPolicy: "Local", externalIPs: ["203.0.113.1"] }],
  [{ type: "NodePort", ports: [HTTP], healthCheckNodePort: 32000 }, "has a healthCheckNodePort"],
  ...["127.0.0.1", "0.0.0.0", "169.254.169.254", "224.0.0.1", "::", "::1", "fe80::1", "ff02::1"]
    .map((ip): [object, string] => [{ ports: [HTTP], externalIPs: [ip] }, "no other host's"]),
  [{ ports: [HTTP], externalIPs: ["203.0.113.1", "2001:db8::1"] }],
];

Deno.test("a Service is held to the rules of the API server", () => {
  for (const [spec, fault] of SERVICES) {
    const message = wrong("Service", "v1", { spec });
    if (fault === undefined) assertEquals(message, undefined, JSON.stringify(spec));
    else assertStringIncludes(message ?? "nothing", fault, JSON.stringify(spec));
  }
});

Deno.test("an endpoint is an address that another host may have", () => {
  const slice = (address: string) =>
    wrong("EndpointSlice", "discovery.k8s.io/v1", {
      addressType: address.includes(":") ? "IPv6" : "IPv4",
      endpoints: [{ addresses: [address] }],
    });
  for (const address of ["10.1.0.1", "fd00::1"]) assertEquals(slice(address), undefined);
  for (const address of ["127.0.0.1", "0.0.0.0", "169.254.1.1", "224.0.0.9", "::1", "fe80::1"]) {
    assertStringIncludes(slice(address) ?? "nothing", "no other host", address);
  }
});

Deno.test("an exception of an ipBlock is a part of it, of its family", () => {
  const block = (cidr: string, except: string) =>
    wrong("NetworkPolicy", "networking.k8s.io/v1", {
      spec: { podSelector: {}, ingress: [{ from: [{ ipBlock: { cidr, except: [except] } }] }] },
    });
  assertEquals(block("10.0.0.0/8", "10.1.0.0/16"), undefined);
  for (
    const [cidr, except] of [["10.0.0.0/8", "10.0.0.0/8"], ["10.0.0.0/8", "11.0.0.0/16"], [
      "::/0",
      "10.0.0.0/8",
    ]] as const
  ) {
    assertStringIncludes(block(cidr, except) ?? "nothing", `excepts ${except}`);
  }
});
