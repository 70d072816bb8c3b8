/** What policies come to for one set of labels: entries by identity, protocol and port. */

import { RESERVED_IDENTITIES } from "../../cluster/identities.ts";
import type { LabelMap } from "../../cluster/labels.ts";
import type { NamedPort } from "../../kubernetes/resources.ts";
import { PROTOCOLS } from "../../core/protocols.ts";
import type { CompiledPolicy, PolicyRule } from "./policy_rule.ts";
import type { Cookies, Direction } from "./cookies.ts";
import { namesPeer, type PolicyIdentity } from "./peers.ts";

/** What policies are about. */
export interface PolicySubject {
  labels: LabelMap;
  namedPorts: readonly NamedPort[];
  /**
   * Whether what no rule allows is denied in both directions whatever the policies: its manifest is
   * not known.
   *
   * @default {false}
   */
  isolated?: boolean;
}

/** One entry; it matches by the rules of {@linkcode evaluate}. */
export interface PolicyEntry {
  /** Of the other side; 0: any. */
  identity: number;
  direction: Direction;
  /** IANA number; 0: any, and then port and prefixLength are 0. */
  protocol: number;
  /** Of the responder, host order; the type for ICMP. The bits after `prefixLength` are 0. */
  port: number;
  /** Bits of the port that count, 0 to 16. */
  prefixLength: number;
  verdict: "allow" | "deny";
  /** The higher wins. */
  precedence: number;
  /** See {@linkcode Cookies}. */
  cookie: number;
}

/** What happens to what no entry matches. */
export interface PolicySide {
  /** Whether it is denied. */
  enforced: boolean;
  /** Leads to the policies that deny it; 0 when it is allowed. */
  defaultCookie: number;
}

/** What policies come to. Equal policies have equal entries in equal order. */
export interface ResolvedPolicy {
  ingress: PolicySide;
  egress: PolicySide;
  entries: readonly PolicyEntry[];
}

/** The identities that rules are resolved against. */
export interface PeerSource {
  get(id: number): PolicyIdentity | undefined;
  /** Those that the rule names as peers. */
  peersOf(rule: PolicyRule): Iterable<PolicyIdentity>;
  /** Those that have named ports. */
  withPorts(): Iterable<PolicyIdentity>;
}

/** Deny wins over allow. */
const PRECEDENCE = { allow: 1, deny: 2 } as const;

/** Splits a range of ports, both ends within it, into the fewest prefixes. */
export function portPrefixes(
  first: number,
  last: number,
): { port: number; prefixLength: number }[] {
  const result: { port: number; prefixLength: number }[] = [];
  for (let port = first; port <= last;) {
    let bits = 0;
    while (bits < 16 && port % (2 << bits) === 0 && port + (2 << bits) - 1 <= last) bits++;
    result.push({ port, prefixLength: 16 - bits });
    port += 1 << bits;
  }
  return result;
}

/** What happens to what no entry of the direction matches. */
export function sideOf(
  direction: Direction,
  policies: readonly CompiledPolicy[],
  cookies: Cookies,
  isolated = false,
): PolicySide {
  if (isolated) return isolatedSide(direction, cookies);
  const enforcing = policies.filter(({ enforces }) => enforces[direction]);
  if (enforcing.length === 0) return { enforced: false, defaultCookie: 0 };
  const titles = new Map(
    enforcing.map((policy) => [
      `${policy.kind} ${policy.namespace === "" ? "" : `${policy.namespace}/`}${policy.name}`,
      policy,
    ]),
  );
  const sorted = [...titles.keys()].sort();
  const { kind, namespace, name } = titles.get(sorted[0]!)!;
  const defaultCookie = cookies.number({
    kind,
    namespace,
    name,
    direction,
    verdict: "deny",
    path: "",
    text: `no rule allows it, and ${direction} is denied by default because of ` +
      sorted.join(", "),
  });
  return { enforced: true, defaultCookie };
}

/** Of an endpoint whose manifest is not known. */
function isolatedSide(direction: Direction, cookies: Cookies): PolicySide {
  const defaultCookie = cookies.number({
    kind: "pilus",
    namespace: "",
    name: "init",
    direction,
    verdict: "deny",
    path: "",
    text: `no rule for reserved:init allows it, and ${direction} is denied by default because no ` +
      "source has the pod's manifest",
  });
  return { enforced: true, defaultCookie };
}

/** Stands for any identity. */
const ANY_IDENTITY: PolicyIdentity = { id: 0, labels: {} };

/** Whether the rule's entries depend on the named ports of its peers. */
export function namesPortsOfPeers({ direction, ports }: PolicyRule): boolean {
  return direction === "egress" && ports.some(({ kind }) => kind === "name");
}

/** Whether the rule is about any peer and has entries for each one that has named ports. */
export function needsPorts(rule: PolicyRule): boolean {
  return rule.peers === "any" && namesPortsOfPeers(rule);
}

/** Calls `add` with each entry of the rule that is for the identity. */
function addRule(
  rule: PolicyRule,
  identity: PolicyIdentity,
  subject: Pick<PolicySubject, "namedPorts">,
  add: (entry: PolicyEntry) => void,
): void {
  const { direction, verdict, cookie } = rule;
  const precedence = PRECEDENCE[verdict];
  const addPort = (protocol: number, port: number, prefixLength: number) =>
    add({
      identity: identity.id,
      direction,
      protocol,
      port,
      prefixLength,
      verdict,
      precedence,
      cookie,
    });
  const addPorts = (protocol: number, first: number, last: number) => {
    for (const { port, prefixLength } of portPrefixes(first, last)) {
      addPort(protocol, port, prefixLength);
    }
  };
  for (const match of rule.ports) {
    // A name is of the responder: of the subject for ingress, of each peer for egress.
    const ofPeer = match.kind === "name" && direction === "egress";
    const single = rule.peers !== "any" || ofPeer;
    if (single === (identity.id === 0)) continue;
    if (match.kind === "all") {
      addPort(match.protocol, 0, 0);
    } else if (match.kind === "range") {
      addPorts(match.protocol, match.first, match.last);
    } else {
      for (const port of (ofPeer ? identity.namedPorts : subject.namedPorts) ?? []) {
        const protocol = PROTOCOLS[port.protocol];
        if (port.name !== match.name) continue;
        if (match.protocol === 0 || match.protocol === protocol) {
          addPorts(protocol, port.port, port.port);
        }
      }
    }
  }
}

/** The order of the entries of a policy. */
export function compareEntries(a: PolicyEntry, b: PolicyEntry): number {
  return (a.direction < b.direction ? -1 : a.direction > b.direction ? 1 : 0) ||
    a.identity - b.identity || a.protocol - b.protocol || a.port - b.port ||
    a.prefixLength - b.prefixLength;
}

/** The entries of one identity, the best one of each key, not sorted. */
function entriesOf(
  identity: PolicyIdentity,
  rules: Iterable<PolicyRule>,
  subject: Pick<PolicySubject, "namedPorts">,
): PolicyEntry[] {
  const best = new Map<string, PolicyEntry>();
  for (const rule of rules) {
    addRule(rule, identity, subject, (entry) => {
      const { direction, protocol, port, prefixLength } = entry;
      const key = `${direction}|${protocol}|${port}|${prefixLength}`;
      const other = best.get(key);
      if (
        !other || entry.precedence > other.precedence ||
        (entry.precedence === other.precedence && entry.cookie < other.cookie)
      ) {
        best.set(key, entry);
      }
    });
  }
  return [...best.values()];
}

/** The entries of all identities by identity, those of {@linkcode hostEntry} not among them. */
export function allEntries(
  policies: readonly CompiledPolicy[],
  subject: Pick<PolicySubject, "namedPorts">,
  source: PeerSource,
): Map<number, PolicyEntry[]> {
  const rulesOf = new Map<PolicyIdentity, PolicyRule[]>();
  const note = (identity: PolicyIdentity, rule: PolicyRule) => {
    const rules = rulesOf.get(identity);
    if (rules) rules.push(rule);
    else rulesOf.set(identity, [rule]);
  };
  for (const { rules } of policies) {
    for (const rule of rules) {
      if (rule.peers === "any") note(ANY_IDENTITY, rule);
      for (const identity of needsPorts(rule) ? source.withPorts() : source.peersOf(rule)) {
        note(identity, rule);
      }
    }
  }
  return new Map(
    [...rulesOf].map(([identity, rules]) => [identity.id, entriesOf(identity, rules, subject)]),
  );
}

/** The entries of one identity, as in {@linkcode allEntries}. */
export function entriesOfIdentity(
  id: number,
  policies: readonly CompiledPolicy[],
  subject: Pick<PolicySubject, "namedPorts">,
  source: PeerSource,
): PolicyEntry[] {
  const identity = id === 0 ? ANY_IDENTITY : source.get(id);
  if (!identity) return [];
  const rules = policies.flatMap(({ rules }) =>
    rules.filter((rule) => rule.peers === "any" || namesPeer(rule, identity))
  );
  return entriesOf(identity, rules, subject);
}

/** The identities that the rules of these policies have entries for. */
export function identitiesOf(policies: Iterable<CompiledPolicy>, source: PeerSource): Set<number> {
  const ids = new Set<number>();
  for (const { rules } of policies) {
    for (const rule of rules) {
      if (rule.peers === "any") ids.add(0);
      for (const { id } of needsPorts(rule) ? source.withPorts() : source.peersOf(rule)) {
        ids.add(id);
      }
    }
  }
  return ids;
}

/**
 * The entries of the node's own host in an endpoint that denies by default: those of the rules, and one
 * that lets it in, as kubelet's probes must be. A rule that denies it comes before that, as in Cilium.
 */
export function hostEntries(entries: readonly PolicyEntry[], cookies: Cookies): PolicyEntry[] {
  const always: PolicyEntry = {
    identity: RESERVED_IDENTITIES.host,
    direction: "ingress",
    protocol: 0,
    port: 0,
    prefixLength: 0,
    verdict: "allow",
    precedence: PRECEDENCE.allow,
    cookie: cookies.number({
      kind: "pilus",
      namespace: "",
      name: "host",
      direction: "ingress",
      verdict: "allow",
      path: "",
      text: "allowed because a node may always reach its own pods",
    }),
  };
  const same = entries.find((entry) => compareEntries(entry, always) === 0);
  if (same?.verdict === "deny") return [...entries];
  return [...entries.filter((entry) => entry !== same), always];
}

/** What `policies`, all of them about the subject, come to. */
export function resolve(
  subject: PolicySubject,
  policies: readonly CompiledPolicy[],
  identities: readonly PolicyIdentity[],
  cookies: Cookies,
): ResolvedPolicy {
  const { host } = RESERVED_IDENTITIES;
  const byIdentity = allEntries(policies, subject, {
    get: (id) => identities.find((identity) => identity.id === id),
    peersOf: (rule) => identities.filter((identity) => namesPeer(rule, identity)),
    withPorts: () => identities,
  });
  const ingress = sideOf("ingress", policies, cookies, subject.isolated);
  const egress = sideOf("egress", policies, cookies, subject.isolated);
  if (ingress.enforced) {
    byIdentity.set(host, hostEntries(byIdentity.get(host) ?? [], cookies));
  }
  return { ingress, egress, entries: [...byIdentity.values()].flat().sort(compareEntries) };
}
