/** Cilium's policies in the corpus: the fields that pilus reads, and some that it passes over. */

import { type KindShape, list, map, type Shape, value } from "./shape.ts";
import { BAD_CIDRS, CIDRS, labelValue, metadata, subdomain } from "./shapes.ts";

const KEYS = ["app", "k8s:app", "any:app", "reserved:host", "io.kubernetes.pod.namespace"];
const BAD_KEYS = ["", "a b", "k8s:a b", "/a", "a/b/c", "-a", "é", "x".repeat(64), "a:b:c", ":a"];
const labels = map(Object.fromEntries(KEYS.map((key) => [key, labelValue])), [], BAD_KEYS);
const selector = map({
  matchLabels: labels,
  matchExpressions: list(
    map({
      key: value(KEYS, BAD_KEYS),
      operator: value(["In", "NotIn", "Exists", "DoesNotExist"], ["in", "", "Gt", null]),
      values: list(labelValue),
    }, ["key", "operator"]),
    1,
  ),
});

const port = map({
  port: value(
    ["80", "0", "65535", "http", "DNS-tcp", "0120", "0x10", "x".repeat(15)],
    [80, "65536", "-1", "", "x".repeat(16), "a--b", "-a", "a_b", "080", "08", "+80", " 80", null],
  ),
  endPort: value([90, 65535, 0], [1, -1, 65536, "90", null]),
  protocol: value(["TCP", "UDP", "SCTP", "ANY"], ["", "tcp", "ICMP", "ICMPv6", "X", null, 6]),
}, ["port"]);
const dns = list(map({
  matchName: value(["a.example", "A.example."], ["", "a b", "*.a", "a_b", null]),
  matchPattern: value(["*", "*.example", "**.a"], ["", "a b", "*.a!", null]),
}));
const deniedPorts = list(map({ ports: list(port) }));
const ports = list(map({
  ports: list(port),
  rules: map(
    { http: value([[]], [{}, [{ method: "GET" }], [{ method: 1 }], null]) },
    ["http"],
    ["dns", "kafka", "l7"],
  ),
  serverNames: value([["a.example"]], [[""], "a", null]),
}));
const outPorts = list(map({
  ports: list(map({
    port: value(["53"], ["54", "dns"]),
    protocol: value(["ANY", "UDP"], ["SCTP"]),
  }, ["port"])),
  rules: map({ dns }, ["dns"]),
}));

const cidrs = list(value([...CIDRS, "10.0.0.1", "fd00::1"], BAD_CIDRS));
const cidrSet = list(map({
  cidr: value(["10.0.0.0/8", "0.0.0.0/0"], [...BAD_CIDRS, "10.0.0.1"]),
  except: list(value(["10.1.0.0/16", "10.1.2.0/24"], [...BAD_CIDRS, "10.0.0.0/8", "fd00::/8"]), 1),
}, ["cidr"]));
const entities = list(
  value(
    ["all", "world", "cluster", "host", "remote-node", "kube-apiserver", "world-ipv4", "none"],
    ["", "World", "node", "cluster-pool", "unknown", null],
  ),
);
const icmps = list(map({
  fields: list(map({
    family: value(["IPv4", "IPv6"], ["", "ipv4", "X", null]),
    type: value([8, 0, "EchoRequest", "8", 255], [256, -1, "", "Echo", "256", 8.5, null]),
  }, ["type"])),
}));
const authentication = map({
  mode: value(["disabled", "required", "test-always-fail"], ["", "off", null]),
}, ["mode"]);

/** A rule has one of these, or a fault another. */
function peers(direction: "from" | "to"): readonly [string, Shape][] {
  return [
    [`${direction}Endpoints`, list(selector)],
    [`${direction}CIDR`, cidrs],
    [`${direction}CIDRSet`, cidrSet],
    [`${direction}Entities`, entities],
  ];
}
const rules = (direction: "from" | "to", rest: Record<string, Shape>, odd = 0) =>
  list(map(Object.fromEntries([...peers(direction).slice(odd, odd + 2), ...Object.entries(rest)])));

function spec(selectorName: "endpointSelector" | "nodeSelector", odd: number): Shape {
  return map({
    [selectorName]: selector,
    ingress: rules("from", odd === 0 ? { toPorts: ports, authentication } : { icmps }, odd),
    egress: rules("to", odd === 0 ? { toPorts: outPorts } : { toPorts: ports, icmps }, odd),
    ingressDeny: rules("from", odd === 0 ? { toPorts: deniedPorts } : { icmps }, 2 - odd),
    egressDeny: rules("to", odd === 0 ? { icmps } : { toPorts: deniedPorts }, 2 - odd),
    enableDefaultDeny: map({
      ingress: value([true, false], ["yes", null, 1]),
      egress: value([true, false], ["no"]),
    }),
    description: value(["x", ""], [1, null]),
    labels: value([[]], ["x"]),
  }, [selectorName, odd === 0 ? "ingress" : "egress"]);
}

const policy = (namespaced: boolean, one: Shape) =>
  map({ metadata: metadata(subdomain, namespaced), spec: one, specs: list(one, 1) }, [
    "metadata",
    "spec",
  ]);

export const CILIUM_SHAPES: readonly KindShape[] = [0, 2].flatMap((odd) => [
  {
    apiVersion: "cilium.io/v2",
    kind: "CiliumNetworkPolicy",
    shape: policy(true, spec("endpointSelector", odd)),
  },
  {
    apiVersion: "cilium.io/v2",
    kind: "CiliumClusterwideNetworkPolicy",
    shape: policy(false, spec(odd === 0 ? "endpointSelector" : "nodeSelector", odd)),
  },
]);
