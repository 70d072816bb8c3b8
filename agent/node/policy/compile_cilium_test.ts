import { assertEquals, assertMatch } from "@std/assert";
import { reservedIdentities } from "../../cluster/identities.ts";
import { parseManifest } from "../../kubernetes/manifest.ts";
import type { PolicyResource } from "../../kubernetes/resources.ts";
import { compilePolicy } from "./compile.ts";
import { Cookies } from "./cookies.ts";
import { evaluate } from "./evaluate.ts";
import { resolve } from "./resolve.ts";
import { pods } from "./testdata/manifests.ts";
import { policiesFor } from "./testdata/whole.ts";

const PODS = pods();
const OWN_NAMESPACE = "red";
/** The subject of most, its client, and a pod of another namespace with the subject's labels. */
const WEB = PODS.find((pod) => pod.namespace === OWN_NAMESPACE && pod.podLabels["app"] === "web")!;
const API = PODS.find((pod) => pod.namespace === OWN_NAMESPACE && pod.podLabels["app"] === "api")!;
const BLUE = PODS.find((pod) => pod.namespace === "blue" && pod.podLabels["app"] === "web")!;
const HOST = 1;

interface Case {
  spec: object;
  /** Of `web`, or of another pod. */
  subject?: typeof WEB;
  direction?: "ingress" | "egress";
  from?: number;
  /** Verdicts by `protocol/port`. */
  verdicts: Record<string, "allow" | "deny">;
  /** What is said of the policy. */
  said?: RegExp;
}

const anybody = { endpointSelector: {} };
const toPorts = (...ports: object[]) => ({ ...anybody, ingress: [{ toPorts: [{ ports }] }] });
const dns = (...names: object[]) => ({
  ...anybody,
  egress: [{ toPorts: [{ ports: [{ port: "53", protocol: "UDP" }], rules: { dns: names } }] }],
});
const authentication = (mode: string) => ({
  ...anybody,
  ingress: [{ fromEndpoints: [{}], authentication: { mode } }],
});
const about = (endpointSelector: object) => ({ endpointSelector, ingress: [{}] });
const NAMESPACE = "io.kubernetes.pod.namespace";
const denying = (rule: object) => ({
  ...anybody,
  ingress: [{ fromEntities: ["all"] }],
  ingressDeny: [rule],
});

const CASES: Record<string, Case> = {
  "an entry of toPorts without ports names none": {
    spec: { ...anybody, ingress: [{ toPorts: [{}] }] },
    verdicts: { "6/80": "deny", "1/8": "deny" },
    said: /^spec.ingress\[0\].toPorts\[0\] names no port, so it allows none; leave toPorts out/,
  },
  "an empty list of ports names none": {
    spec: { ...anybody, ingress: [{ fromEndpoints: [{}], toPorts: [{ ports: [] }] }] },
    verdicts: { "6/80": "deny" },
    said: /names no port/,
  },
  "an entry without ports beside one with some adds none": {
    spec: { ...anybody, ingress: [{ toPorts: [{ ports: [{ port: "80" }] }, {}] }] },
    verdicts: { "6/80": "allow", "6/81": "deny" },
    said: /toPorts\[1\] names no port/,
  },
  "a rule that denies no port denies none": {
    spec: denying({ toPorts: [{}] }),
    verdicts: { "6/80": "allow" },
    said: /so it denies none/,
  },
  "port 0 is any port of protocols with ports": {
    spec: toPorts({ port: "0" }),
    verdicts: {
      "6/80": "allow",
      "17/53": "allow",
      "132/9": "allow",
      "1/8": "deny",
      "58/128": "deny",
    },
  },
  "port 0 of a protocol is any of its ports": {
    spec: toPorts({ port: "0", protocol: "UDP" }),
    verdicts: { "17/53": "allow", "6/80": "deny" },
  },
  "port 0 with an endPort is a range": {
    spec: toPorts({ port: "0", endPort: 1023, protocol: "TCP" }),
    verdicts: { "6/0": "allow", "6/1023": "allow", "6/1024": "deny", "17/53": "deny" },
  },
  "port 0 with the last port as endPort is any port": {
    spec: toPorts({ port: "0", endPort: 65535 }),
    verdicts: { "6/0": "allow", "6/65535": "allow", "1/8": "deny" },
  },
  "a port that begins with 0 is octal": {
    spec: toPorts({ port: "0120" }),
    verdicts: { "6/80": "allow", "6/120": "deny" },
  },
  "names of ports are the same in capitals": {
    spec: toPorts({ port: "HTTP", protocol: "TCP" }),
    verdicts: { "6/8080": "allow", "6/80": "deny" },
  },
  "rules of DNS that let every name pass are none": {
    spec: dns({ matchName: "a.example" }, { matchPattern: "*" }),
    direction: "egress",
    verdicts: { "17/53": "allow", "6/53": "deny" },
  },
  "rules of DNS that let some names pass allow nothing yet": {
    spec: dns({ matchPattern: "*.example" }),
    direction: "egress",
    verdicts: { "17/53": "deny" },
    said: /toPorts.rules not supported yet/,
  },
  "authentication that is disabled is none": {
    spec: authentication("disabled"),
    verdicts: { "6/80": "allow" },
  },
  "authentication that is required allows nothing yet": {
    spec: authentication("required"),
    verdicts: { "6/80": "deny" },
    said: /authentication not supported yet/,
  },
  "the policy's namespace takes the place of another among labels": {
    spec: about({ matchLabels: { [`k8s:${NAMESPACE}`]: "blue", app: "web" } }),
    verdicts: { "6/80": "deny" },
    said: /is for another namespace, .* for its own, red, alone: it selects pods of red/,
  },
  "a subject by another namespace is not there": {
    spec: about({ matchLabels: { [`k8s:${NAMESPACE}`]: "blue", app: "web" } }),
    subject: BLUE,
    verdicts: { "6/80": "allow" },
    said: /another namespace/,
  },
  "another namespace among expressions selects no pod": {
    spec: about({
      matchExpressions: [{ key: `k8s:${NAMESPACE}`, operator: "In", values: ["blue"] }],
    }),
    verdicts: { "6/80": "allow" },
    said: /it selects no pod/,
  },
  "the policy's own namespace may be named": {
    spec: about({ matchLabels: { [NAMESPACE]: "red" } }),
    verdicts: { "6/80": "deny" },
  },
  "labels that identities leave out select nobody": {
    spec: about({ matchLabels: { "statefulset.kubernetes.io/pod-name": "web-0" } }),
    verdicts: { "6/80": "allow" },
    said: /the label statefulset.kubernetes.io\/pod-name is no part of identities/,
  },
  "labels of peers that identities leave out select nobody": {
    spec: {
      ...anybody,
      ingress: [{ fromEndpoints: [{ matchLabels: { "k8s:pod-template-hash": "1" } }] }],
    },
    verdicts: { "6/80": "deny" },
    said: /^spec.ingress\[0\]: the label pod-template-hash is no part/,
  },
  "default deny of a direction without rules holds": {
    spec: { ...anybody, ingress: [{ fromEndpoints: [{}] }], enableDefaultDeny: { egress: true } },
    direction: "egress",
    verdicts: { "6/80": "deny" },
  },
  "the node itself is let in by default": {
    spec: { ...anybody, ingress: [{}] },
    from: HOST,
    verdicts: { "6/80": "allow" },
  },
  "the node itself may be denied": {
    spec: denying({ fromEntities: ["host"] }),
    from: HOST,
    verdicts: { "6/80": "deny", "1/8": "deny" },
  },
  "the node itself may be denied a port": {
    spec: denying({ fromEntities: ["host"], toPorts: [{ ports: [{ port: "80" }] }] }),
    from: HOST,
    verdicts: { "6/80": "deny", "6/81": "allow" },
  },
  "who denies all denies the node": {
    spec: { ...anybody, ingressDeny: [{ fromEntities: ["all"] }] },
    from: HOST,
    verdicts: { "6/80": "deny" },
  },
};

Deno.test("policies of Cilium mean what they mean there", async (t) => {
  for (
    const [name, { spec, subject = WEB, direction = "ingress", ...rest }] of Object.entries(CASES)
  ) {
    await t.step(name, () => {
      const { from = API.id, verdicts, said } = rest;
      const { resources, problems } = parseManifest(JSON.stringify({
        apiVersion: "cilium.io/v2",
        kind: "CiliumNetworkPolicy",
        metadata: { name: "p", namespace: OWN_NAMESPACE },
        spec,
      }));
      assertEquals(problems, []);
      const cookies = new Cookies();
      const compiled = compilePolicy(resources[0]!.resource as PolicyResource, cookies);
      const identities = [...reservedIdentities(), ...PODS];
      const own = policiesFor(subject.labels, compiled);
      const resolved = resolve(subject, own, identities, cookies);
      const found = Object.fromEntries(
        Object.keys(verdicts).map((text) => {
          const [protocol, port] = text.split("/").map(Number);
          const query = { identity: from, direction, protocol: protocol!, port: port! };
          return [text, evaluate(resolved, query).verdict];
        }),
      );
      assertEquals(found, verdicts);
      assertMatch(compiled[0]!.problems.map(({ message }) => message).join("; "), said ?? /^$/);
    });
  }
});
