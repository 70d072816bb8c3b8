/** NetworkPolicies as rules. */

import { NAMESPACE_LABELS_PREFIX } from "../../cluster/labels.ts";
import { PROTOCOLS } from "../../core/protocols.ts";
import type {
  NetworkPolicy,
  NetworkPolicyPeer,
  NetworkPolicyPort,
} from "../../kubernetes/resources.ts";
import type { Cookies, Direction } from "./cookies.ts";
import {
  ALL,
  cidrPeer,
  type CompiledPolicy,
  IN_ANY_NAMESPACE,
  inNamespace,
  type Peer,
  type PolicyProblem,
  type PolicyRule,
  type PortMatch,
  title,
  unknownLabels,
} from "./policy_rule.ts";
import { compileSelector } from "./selector.ts";

/** The policy's rules. */
export function compileNetworkPolicy(policy: NetworkPolicy, cookies: Cookies): CompiledPolicy {
  const { kind, metadata: { namespace, name }, spec = {} } = policy;
  const types = spec.policyTypes ?? [];
  const enforces = {
    ingress: types.length === 0 || types.includes("Ingress"),
    egress: types.length === 0 ? (spec.egress ?? []).length > 0 : types.includes("Egress"),
  };
  const rules: PolicyRule[] = [];
  const subject = compileSelector(spec.podSelector ?? {}, "k8s");
  const problems: PolicyProblem[] = unknownLabels("spec.podSelector", subject);
  const add = (
    direction: Direction,
    index: number,
    peers: NetworkPolicyPeer[] | undefined,
    ports: NetworkPolicyPort[] | undefined,
  ) => {
    const path = `spec.${direction}[${index}]`;
    const all = (peers ?? []).map((peer) => networkPolicyPeer(peer, namespace));
    for (const peer of all) {
      if (peer.kind === "selector") problems.push(...unknownLabels(path, peer.selector));
    }
    rules.push({
      direction,
      verdict: "allow",
      peers: all.length === 0 ? "any" : all,
      ports: (ports ?? []).length === 0 ? ALL : ports!.map(networkPolicyPort),
      path,
      cookie: cookies.number({
        kind,
        namespace,
        name,
        direction,
        verdict: "allow",
        path,
        text: `allowed by ${title(kind, namespace, name)}, ${path}`,
      }),
    });
  };
  // Rules of a direction that policyTypes leaves out have no effect.
  if (enforces.ingress) {
    for (const [i, rule] of (spec.ingress ?? []).entries()) {
      add("ingress", i, rule.from, rule.ports);
    }
  }
  if (enforces.egress) {
    for (const [i, rule] of (spec.egress ?? []).entries()) add("egress", i, rule.to, rule.ports);
  }
  return {
    kind,
    namespace,
    name,
    path: "spec",
    subject: [inNamespace(namespace), ...subject],
    enforces,
    rules,
    problems,
  };
}

function networkPolicyPeer(peer: NetworkPolicyPeer, namespace: string): Peer {
  if (peer.ipBlock) return cidrPeer(peer.ipBlock.cidr, peer.ipBlock.except);
  const selector = compileSelector(peer.podSelector ?? {}, "k8s");
  if (!peer.namespaceSelector) {
    return { kind: "selector", selector: [inNamespace(namespace), ...selector] };
  }
  const ofNamespace = compileSelector(peer.namespaceSelector, "k8s").map((requirement) => ({
    ...requirement,
    key: NAMESPACE_LABELS_PREFIX + requirement.key,
  }));
  return { kind: "selector", selector: [IN_ANY_NAMESPACE, ...ofNamespace, ...selector] };
}

function networkPolicyPort({ protocol = "TCP", port, endPort }: NetworkPolicyPort): PortMatch {
  const number = PROTOCOLS[protocol];
  if (port === undefined) return { kind: "all", protocol: number };
  if (typeof port === "string") return { kind: "name", protocol: number, name: port };
  return { kind: "range", protocol: number, first: port, last: endPort ?? port };
}
