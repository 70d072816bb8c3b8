/** Policies of Cilium as rules, by the meaning that Cilium 1.18 gives them. */

import { NAMESPACE_LABEL, NAMESPACE_LABELS_PREFIX } from "../../cluster/labels.ts";
import { PROTOCOLS } from "../../core/protocols.ts";
import { portNumber } from "../../kubernetes/cilium_policy.ts";
import { ICMP_TYPES } from "../../kubernetes/icmp_types.ts";
import type {
  CiliumPolicySpec,
  CiliumRule,
  CiliumToPort,
  LabelSelector,
  NetworkPolicy,
  PolicyResource,
} from "../../kubernetes/resources.ts";
import type { Cookies, Direction } from "./cookies.ts";
import {
  ALL,
  ANY_PROTOCOL,
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
import { compileSelector, type Requirement, type Selector } from "./selector.ts";

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

/** The rules of one specification. */
export function compileCilium(
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
    const message = `${field}: policies for nodes are not supported yet`;
    problems.push({ field, reason: "NotSupported", message });
    // No endpoint has the label, so the policy is about none.
    return {
      ...result,
      subject: [{ source: "reserved", key: "none", operator: "Exists", values: [] }],
    };
  }
  const subject = kind === "CiliumNetworkPolicy"
    ? ciliumSubject(spec.endpointSelector, namespace, `${specPath}.endpointSelector`, problems)
    : compileSelector(spec.endpointSelector, "cilium");
  problems.push(...unknownLabels(`${specPath}.endpointSelector`, subject));
  result.subject = subject;

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
      for (const peer of Array.isArray(peers) ? peers : []) {
        if (peer.kind === "selector") problems.push(...unknownLabels(path, peer.selector));
      }
      for (const [j, { ports }] of (rule.toPorts ?? []).entries()) {
        if ((ports ?? []).length > 0) continue;
        const field = `${path}.toPorts[${j}]`;
        const message = `${field} names no port, so it ${
          verdict === "deny" ? "denies" : "allows"
        } none; leave toPorts out to mean all`;
        problems.push({ field, reason: "MatchesNothing", message });
      }

      const unknown: string[] = UNKNOWN_PEERS.filter((field) => rule[field] !== undefined);
      if (rule[`${word}CIDRSet`]?.some(({ cidr }) => cidr === undefined)) {
        unknown.push(`${word}CIDRSet with cidrGroupRef or cidrGroupSelector`);
      }
      if (unknown.length > 0) {
        const effect = verdict === "deny" ? "denies all peers" : "allows nothing";
        const message = `${path}: ${unknown.join(", ")} not supported yet, so the rule ${effect}`;
        problems.push({ field: path, reason: "NotSupported", message });
        if (verdict === "allow") continue;
        peers = "any";
      }
      const proxy: string[] = [];
      if ((rule.authentication?.mode ?? "disabled") !== "disabled") proxy.push("authentication");
      for (const field of PROXY_FIELDS) {
        if (rule.toPorts?.some((toPort) => asksProxy(toPort, field))) {
          proxy.push(`toPorts.${field}`);
        }
      }
      if (proxy.length > 0) {
        // Without default deny, what the proxy would refuse passes unless it is denied here.
        const denies = verdict === "deny" || !enforces[direction];
        const effect = denies ? "denies all that it is about" : "allows nothing";
        const message = `${path}: ${proxy.join(", ")} not supported yet, so the rule ${effect}`;
        problems.push({ field: path, reason: "NotSupported", message });
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
        path,
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

const isNamespace = ({ source, key }: Requirement) =>
  key === NAMESPACE_LABEL && (source ?? "k8s") === "k8s";

/** Whether the requirement may hold for pods of the namespace. */
const mayBeIn = ({ operator, values }: Requirement, namespace: string) =>
  operator === "In"
    ? values.includes(namespace)
    : operator !== "NotIn" || !values.includes(namespace);

/**
 * The endpoints that a selector of a policy in the namespace is about. As in Cilium the policy's own
 * takes the place of one among `matchLabels`, and any other way to name another selects no pod.
 */
function ciliumSubject(
  selector: LabelSelector,
  namespace: string,
  field: string,
  problems: PolicyProblem[],
): Requirement[] {
  const { [`k8s:${NAMESPACE_LABEL}`]: named = namespace, ...matchLabels } = selector.matchLabels ??
    {};
  const others = compileSelector({ ...selector, matchLabels }, "cilium");
  const wrong = others.filter((each) => isNamespace(each) && !mayBeIn(each, namespace));
  if (wrong.length > 0 || named !== namespace) {
    const about = wrong.length > 0 ? "no pod" : `pods of ${namespace}`;
    const message =
      `${field} is for another namespace, and a CiliumNetworkPolicy is for its own, ` +
      `${namespace}, alone: it selects ${about}`;
    problems.push({ field, reason: "OtherNamespace", message });
  }
  return [inNamespace(namespace), ...others];
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

/** Whether a proxy is needed for the field: to let every name of DNS pass, none is. */
function asksProxy(toPort: CiliumToPort, field: (typeof PROXY_FIELDS)[number]): boolean {
  if (toPort[field] === undefined) return false;
  if (field !== "rules") return true;
  const { dns, ...others } = toPort.rules!;
  if (Object.keys(others).length > 0) return true;
  return dns !== undefined && !dns.some(({ matchPattern }) => matchPattern === "*");
}

/** What port "0" of ANY is, and any other number of it: it has no ICMP. */
const WITH_PORTS = [PROTOCOLS.TCP, PROTOCOLS.UDP, PROTOCOLS.SCTP];

/**
 * The ports that a rule names; undefined when it has neither toPorts nor icmps, so that it is about
 * all. One that has them and names nothing is about none.
 */
function ciliumPorts({ toPorts, icmps }: CiliumRule): PortMatch[] | undefined {
  if (!toPorts?.length && !icmps?.length) return undefined;
  const matches: PortMatch[] = [];
  for (const { port, endPort, protocol = "ANY" } of (toPorts ?? []).flatMap(portsOf)) {
    const first = portNumber(port);
    if (first === undefined) {
      const number = protocol === "ANY" ? ANY_PROTOCOL : PROTOCOLS[protocol];
      matches.push({ kind: "name", protocol: number, name: port.toLowerCase() });
      continue;
    }
    const last = endPort || first;
    const all = first === 0 && (last === 0 || last === LAST_PORT);
    for (const number of protocol === "ANY" ? WITH_PORTS : [PROTOCOLS[protocol]]) {
      matches.push(
        all ? { kind: "all", protocol: number } : { kind: "range", protocol: number, first, last },
      );
    }
  }
  for (const { family = "IPv4", type } of (icmps ?? []).flatMap(({ fields }) => fields ?? [])) {
    const number = typeof type === "string" ? ICMP_TYPES[family][type] ?? Number(type) : type;
    const protocol = family === "IPv4" ? PROTOCOLS.ICMP : PROTOCOLS.ICMPv6;
    matches.push({ kind: "range", protocol, first: number, last: number });
  }
  return matches;
}

const LAST_PORT = 65535;

const portsOf = ({ ports }: CiliumToPort) => ports ?? [];
