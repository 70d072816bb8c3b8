import { assertEquals, assertMatch } from "@std/assert";
import { parseManifest } from "./manifest.ts";

const problemsOf = (spec: unknown) =>
  parseManifest(JSON.stringify({
    apiVersion: "cilium.io/v2",
    kind: "CiliumNetworkPolicy",
    metadata: { name: "a" },
    spec,
  })).problems.map(({ message }) => message).join("; ");

const endpointSelector = {};
const ingress = (...rules: unknown[]) => ({ endpointSelector, ingress: rules });
const egress = (...rules: unknown[]) => ({ endpointSelector, egress: rules });
const ports = (...items: unknown[]) => ({ toPorts: [{ ports: items }] });
const times = (count: number, item: unknown) => Array.from({ length: count }, () => item);

const dns = (rule: unknown) => ({ toPorts: [{ ports: [{ port: "53" }], rules: { dns: [rule] } }] });
const ANY_NAME = [{ matchPattern: "*" }];

/** What Cilium's CRD or validation refuses. */
const REFUSED: [spec: unknown, message: RegExp][] = [
  [{ endpointSelector }, /has no rules, which denies nothing; `ingress: \[{}\]` denies all/],
  [{ endpointSelector, ingress: [], egress: [] }, /has no rules/],
  [{ endpointSelector, enableDefaultDeny: { ingress: true } }, /has no rules/],
  [ingress({ fromCIDR: ["10.0.0.0/8"], fromCIDRSet: [{ cidr: "11.0.0.0/8" }] }), /two rules/],
  [ingress({ fromEndpoints: [{}], fromEntities: ["host"] }), /fromEndpoints and fromEntities/],
  [egress({ toCIDR: ["10.0.0.1"], toFQDNs: [{ matchName: "a.b" }] }), /toCIDR and toFQDNs/],
  [
    { endpointSelector, ingressDeny: [{ fromCIDR: ["1.2.3.4"], fromEndpoints: [{}] }] },
    /two rules/,
  ],
  [ingress({ ...ports({ port: "80" }), icmps: [{ fields: [{ type: 8 }] }] }), /icmps and toPorts/],
  [ingress(ports(...times(41, { port: "80" }))), /has 41 items, and 40 are the most/],
  [ingress({ icmps: [{ fields: times(41, { type: 8 }) }] }), /has 41 items/],
  [ingress(ports({ port: "8", protocol: "ICMP" })), /is ICMP, which has no ports; use icmps/],
  [ingress(ports({ port: "080" })), /must be a port from 0 to 65535 or a port name/],
  [ingress(ports({ port: "65536" })), /must be a port from 0/],
  [ingress(ports({ port: "" })), /must be a port from 0/],
  [ingress(ports({ port: "a-very-long-port-name" })), /must be a port from 0/],
  [ingress(ports({ port: "a--b" })), /must be a port from 0/],
  [ingress(ports({ port: "-a" })), /must be a port from 0/],
  [ingress(ports({ port: "http", endPort: 90 })), /needs a port that is a number/],
  [ingress(ports({ port: "0120", endPort: 79 })), /endPort 79, which is less than port 80/],
  [ingress({ toPorts: [{ ports: [{ port: "53" }], rules: { dns: ANY_NAME } }] }), /are for egress/],
  [egress({ toPorts: [{ rules: { dns: ANY_NAME } }] }), /rules.dns, which need a port/],
  [ingress({ icmps: [{ fields: [{ type: "256" }] }] }), /unknown IPv4 ICMP type 256/],
  [ingress({ toPorts: [{ serverNames: [""] }] }), /must be a server name/],
  [egress({ toPorts: [{ rules: {} }] }), /must have one of dns, http, kafka, l7proto/],
  [egress({ toPorts: [{ rules: { dns: [], http: [] } }] }), /must have one of dns, http/],
  [egress(dns({})), /must have one of matchName and matchPattern/],
  [egress(dns({ matchName: "a.b", matchPattern: "*" })), /one of matchName and matchPattern/],
  [egress(dns({ matchName: "a..b" })), /must be a name such as example.com/],
  [egress(dns({ matchPattern: "*.a!" })), /must be a pattern such as/],
  [{ endpointSelector, egressDeny: [{ toPorts: [{ rules: {} }] }] }, /rules is not a field known/],
  [ingress({ fromCIDRSet: [{ cidr: "10.0.0.0/8", cidrGroupRef: "a" }] }), /must have one of cidr,/],
  [ingress({ fromEndpoints: [{}], authentication: {} }), /mode is missing/],
];

const ACCEPTED: unknown[] = [
  ingress({}),
  { endpointSelector, egressDeny: [{}], enableDefaultDeny: { egress: false } },
  ingress({ fromEndpoints: [{}], fromCIDR: [] }),
  ingress({ ...ports({ port: "80" }), icmps: [] }),
  ingress(ports(...times(40, { port: "80" }))),
  ingress(ports({ port: "HTTP" }, { port: "0x10" }, { port: "0" }, { port: "0120" })),
  ingress(ports({ port: "0", endPort: 1024, protocol: "TCP" })),
  egress({ toPorts: [{ ports: [{ port: "53" }], rules: { dns: [{ matchPattern: "*" }] } }] }),
  ingress({ fromEndpoints: [{}], authentication: { mode: "disabled" } }),
];

Deno.test("policies of Cilium are refused where its CRD or validation refuses them", () => {
  for (const [spec, message] of REFUSED) assertMatch(problemsOf(spec), message);
  for (const spec of ACCEPTED) assertEquals(problemsOf(spec), "", JSON.stringify(spec));
});
