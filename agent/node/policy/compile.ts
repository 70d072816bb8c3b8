/**
 * Policies of all kinds as one kind of rule. What is not supported yet is said per policy and fails
 * closed: a rule whose peers are unknown allows none (denies all, if it denies), and one
 * that a proxy would have to enforce allows nothing.
 */

import { type Cidr, parseCidr } from "../../../datapath/net/ip.ts";
import { NAMESPACE_LABEL, NAMESPACE_LABELS_PREFIX } from "../../cluster/labels.ts";
import type {
  CiliumPolicySpec,
  CiliumRule,
  LabelSelector,
  NetworkPolicy,
  NetworkPolicyPeer,
  NetworkPolicyPort,
  PolicyResource,
} from "../../kubernetes/resources.ts";
import { ICMP_TYPES } from "../../kubernetes/icmp_types.ts";
import { PROTOCOLS } from "../../core/protocols.ts";
import type { Cookies, Direction } from "./cookies.ts";
import { compileSelector, type Requirement, type Selector } from "./selector.ts";

/** Stands for any protocol. */
const ANY_PROTOCOL = 0;

/** Who is on the other side. */
export type Peer =
  | { kind: "selector"; selector: Selector }
  | { kind: "cidr"; cidr: Cidr; except: readonly Cidr[] }
  | { kind: "entity"; entity: string };

/** Ports of a protocol; the port of ICMP is its type. Protocol 0 is any, with all its ports. */
export type PortMatch =
  | { kind: "all"; protocol: number }
  | { kind: "range"; protocol: number; first: number; last: number }
  /** Protocol 0: whichever the name's port has. */
  | { kind: "name"; protocol: number; name: string };

/** One rule: peers and ports must both match. */
export interface PolicyRule {
  direction: Direction;
  verdict: "allow" | "deny";
  peers: "any" | readonly Peer[];
  ports: readonly PortMatch[];
  cookie: number;
}

/** A part of a policy that is not in force as written. */
export interface PolicyProblem {
  /** Path within the manifest. */
  field: string;
  message: string;
}

/** One specification of a policy. */
export interface CompiledPolicy {
  kind: PolicyResource["kind"];
  namespace: string;
  name: string;
  /** `spec`, or `specs[1]`. */
  path: string;
  /** The endpoints that it is about. */
  subject: Selector;
  /** The directions in which what no rule allows is denied. */
  enforces: Record<Direction, boolean>;
  rules: readonly PolicyRule[];
  /** What of it pilus cannot do. */
  problems: readonly PolicyProblem[];
}

const ALL: readonly PortMatch[] = [{ kind: "all", protocol: ANY_PROTOCOL }];

function inNamespace(namespace: string): Requirement {
  return { source: "k8s", key: NAMESPACE_LABEL, operator: "In", values: [namespace] };
}
const IN_ANY_NAMESPACE: Requirement = {
  source: "k8s",
  key: NAMESPACE_LABEL,
  operator: "Exists",
  values: [],
};

/** The rules of a policy of any kind. */
export function compilePolicy(resource: PolicyResource, cookies: Cookies): CompiledPolicy[] {
  if (resource.kind === "NetworkPolicy") return [compileNetworkPolicy(resource, cookies)];
  const specs = (resource.specs ?? []).map((spec, i) => ({ spec, path: `specs[${i}]` }));
  if (resource.spec) specs.unshift({ spec: resource.spec, path: "spec" });
  return specs.map(({ spec, path }) => compileCilium(resource, spec, path, cookies));
}

function title(kind: string, namespace: string, name: string): string {
  return `${kind} ${namespace === "" ? name : `${namespace}/${name}`}`;
}

function compileNetworkPolicy(policy: NetworkPolicy, cookies: Cookies): CompiledPolicy {
  const { kind, metadata: { namespace, name }, spec } = policy;
  const types = spec.policyTypes ?? [];
  const enforces = {
    ingress: types.length === 0 || types.includes("Ingress"),
    egress: types.length === 0 ? (spec.egress ?? []).length > 0 : types.includes("Egress"),
  };
  const rules: PolicyRule[] = [];
  const add = (
    direction: Direction,
    index: number,
    peers: NetworkPolicyPeer[] | undefined,
    ports: NetworkPolicyPort[] | undefined,
  ) => {
    const path = `spec.${direction}[${index}]`;
    rules.push({
      direction,
      verdict: "allow",
      peers: (peers ?? []).length === 0
        ? "any"
        : peers!.map((peer) => networkPolicyPeer(peer, namespace)),
      ports: (ports ?? []).length === 0 ? ALL : ports!.map(networkPolicyPort),
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
    subject: [inNamespace(namespace), ...compileSelector(spec.podSelector ?? {}, "k8s")],
    enforces,
    rules,
    problems: [],
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

function cidrPeer(cidr: string, except: readonly string[] = []): Peer {
  return { kind: "cidr", cidr: parseCidr(cidr), except: except.map(parseCidr) };
}

function networkPolicyPort({ protocol = "TCP", port, endPort }: NetworkPolicyPort): PortMatch {
  const number = PROTOCOLS[protocol];
  if (port === undefined) return { kind: "all", protocol: number };
  if (typeof port === "string") return { kind: "name", protocol: number, name: port };
  return { kind: "range", protocol: number, first: port, last: endPort ?? port };
}

/** Fields of a rule that name peers in a way that pilus cannot tell. */
const UNKNOWN_PEERS = [
  "fromNodes",
  "toNodes",
  "fromGroups",
  "toGroups",
  "fromRequires",
  "toRequires",
  "toServices",
  "toFQDNs",
] as const satisfies (keyof CiliumRule)[];
/** Fields of toPorts that ask for a proxy. */
const PROXY_FIELDS = [
  "rules",
  "terminatingTLS",
  "originatingTLS",
  "serverNames",
  "listener",
] as const;

function compileCilium(
  resource: Exclude<PolicyResource, NetworkPolicy>,
  spec: CiliumPolicySpec,
  specPath: string,
  cookies: Cookies,
): CompiledPolicy {
  const { kind, metadata: { namespace, name } } = resource;
  const problems: PolicyProblem[] = [];
  const rules: PolicyRule[] = [];
  const has = (rules: CiliumRule[] | undefined) => (rules ?? []).length > 0;
  const enforces = {
    ingress: spec.enableDefaultDeny?.ingress ?? (has(spec.ingress) || has(spec.ingressDeny)),
    egress: spec.enableDefaultDeny?.egress ?? (has(spec.egress) || has(spec.egressDeny)),
  };
  const result: CompiledPolicy = {
    kind,
    namespace,
    name,
    path: specPath,
    subject: [],
    enforces,
    rules,
    problems,
  };
  if (!spec.endpointSelector) {
    const field = `${specPath}.nodeSelector`;
    problems.push({ field, message: `${field}: policies for nodes are not supported yet` });
    // No endpoint has the label, so the policy is about none.
    return {
      ...result,
      subject: [{ source: "reserved", key: "none", operator: "Exists", values: [] }],
    };
  }
  const subject = compileSelector(spec.endpointSelector, "cilium");
  result.subject = kind === "CiliumNetworkPolicy" ? [inNamespace(namespace), ...subject] : subject;

  const add = (
    list: "ingress" | "ingressDeny" | "egress" | "egressDeny",
    direction: Direction,
  ) => {
    for (const [i, rule] of (spec[list] ?? []).entries()) {
      const path = `${specPath}.${list}[${i}]`;
      let verdict: "allow" | "deny" = list.endsWith("Deny") ? "deny" : "allow";
      const word = direction === "ingress" ? "from" : "to";
      let peers = ciliumPeers(rule, word, namespace);
      const ports = ciliumPorts(rule);

      const unknown: string[] = UNKNOWN_PEERS.filter((field) => rule[field] !== undefined);
      if (rule[`${word}CIDRSet`]?.some(({ cidr }) => cidr === undefined)) {
        unknown.push(`${word}CIDRSet with cidrGroupRef or cidrGroupSelector`);
      }
      const l3Fields = (["Endpoints", "CIDR", "CIDRSet", "Entities"] as const)
        .filter((field) => rule[`${word}${field}`] !== undefined);
      // CIDR and CIDRSet are one way to name peers, so Cilium lets them stand together.
      if (new Set(l3Fields.map((field) => field.replace("Set", ""))).size > 1) {
        unknown.push(l3Fields.map((field) => word + field).join(" together with "));
      }
      if (unknown.length > 0) {
        const effect = verdict === "deny" ? "denies all peers" : "allows nothing";
        const message = `${path}: ${unknown.join(", ")} not supported yet, so the rule ${effect}`;
        problems.push({ field: path, message });
        if (verdict === "allow") continue;
        peers = "any";
      }
      const proxy: string[] = [];
      if (rule.authentication !== undefined) proxy.push("authentication");
      for (const field of PROXY_FIELDS) {
        if (rule.toPorts?.some((toPort) => toPort[field] !== undefined)) {
          proxy.push(`toPorts.${field}`);
        }
      }
      if (proxy.length > 0) {
        // Without default deny, what the proxy would refuse passes unless it is denied here.
        const denies = verdict === "deny" || !enforces[direction];
        const effect = denies ? "denies all that it is about" : "allows nothing";
        const message = `${path}: ${proxy.join(", ")} not supported yet, so the rule ${effect}`;
        problems.push({ field: path, message });
        if (!denies) continue;
        verdict = "deny";
      }
      // A rule that names neither peers nor ports allows nothing; it only turns default deny on.
      if (peers === undefined && ports === undefined) continue;
      peers ??= "any";
      const word2 = verdict === "allow" ? "allowed" : "denied";
      rules.push({
        direction,
        verdict,
        peers,
        ports: ports ?? ALL,
        cookie: cookies.number({
          kind,
          namespace,
          name,
          direction,
          verdict,
          path,
          text: `${word2} by ${title(kind, namespace, name)}, ${path}`,
        }),
      });
    }
  };
  add("ingress", "ingress");
  add("ingressDeny", "ingress");
  add("egress", "egress");
  add("egressDeny", "egress");
  return result;
}

/** The peers that a rule names; undefined when it names none, so that it is about any. */
function ciliumPeers(
  rule: CiliumRule,
  word: "from" | "to",
  namespace: string,
): "any" | Peer[] | undefined {
  const endpoints = rule[`${word}Endpoints`];
  const cidrs = rule[`${word}CIDR`];
  const sets = rule[`${word}CIDRSet`];
  const entities = rule[`${word}Entities`];
  if (!endpoints && !cidrs && !sets && !entities) return undefined;
  if (entities?.includes("all")) return "any";
  return [
    ...(endpoints ?? []).map((selector): Peer => ({
      kind: "selector",
      selector: ciliumPeerSelector(selector, namespace),
    })),
    ...(cidrs ?? []).map((cidr) => cidrPeer(cidr)),
    ...(sets ?? []).filter(({ cidr }) => cidr !== undefined)
      .map(({ cidr, except }) => cidrPeer(cidr!, except)),
    ...(entities ?? []).map((entity): Peer => ({ kind: "entity", entity })),
  ];
}

/** As Cilium has it: within the policy's namespace unless the selector speaks of namespaces itself. */
function ciliumPeerSelector(selector: LabelSelector, namespace: string): Selector {
  const requirements = compileSelector(selector, "cilium");
  const speaksOfNamespaces = requirements.some(({ source, key }) =>
    source === "reserved" || key === NAMESPACE_LABEL || key.startsWith(NAMESPACE_LABELS_PREFIX)
  );
  if (speaksOfNamespaces) return requirements;
  return [namespace === "" ? IN_ANY_NAMESPACE : inNamespace(namespace), ...requirements];
}

/** The ports that a rule names; undefined when it names none, so that it is about all. */
function ciliumPorts({ toPorts, icmps }: CiliumRule): PortMatch[] | undefined {
  const matches: PortMatch[] = [];
  for (const { ports } of toPorts ?? []) {
    if ((ports ?? []).length === 0) matches.push(...ALL);
    for (const { port, endPort, protocol = "ANY" } of ports ?? []) {
      const number = protocol === "ANY" ? ANY_PROTOCOL : PROTOCOLS[protocol];
      const isName = !/^[0-9]+$/.test(port);
      const first = Number(port);
      if (isName) {
        matches.push({ kind: "name", protocol: number, name: port });
      } else if (first === 0) {
        matches.push({ kind: "all", protocol: number });
      } else {
        const protocols = protocol === "ANY"
          ? [PROTOCOLS.TCP, PROTOCOLS.UDP, PROTOCOLS.SCTP]
          : [number];
        const last = endPort || first;
        for (const each of protocols) matches.push({ kind: "range", protocol: each, first, last });
      }
    }
  }
  for (const { family = "IPv4", type } of (icmps ?? []).flatMap(({ fields }) => fields ?? [])) {
    const number = typeof type === "string" ? ICMP_TYPES[family][type] ?? Number(type) : type;
    const protocol = family === "IPv4" ? PROTOCOLS.ICMP : PROTOCOLS.ICMPv6;
    matches.push({ kind: "range", protocol, first: number, last: number });
  }
  return toPorts?.length || icmps?.length ? matches : undefined;
}

/** The prefixes that the policies name, the excepted ones among them: each needs an identity. */
export function policyCidrs(policies: Iterable<CompiledPolicy>): Cidr[] {
  const cidrs: Cidr[] = [];
  for (const { rules } of policies) {
    for (const { peers } of rules) {
      if (peers === "any") continue;
      for (const peer of peers) if (peer.kind === "cidr") cidrs.push(peer.cidr, ...peer.except);
    }
  }
  return cidrs;
}
