/** What policies come to for one set of labels: entries by identity, protocol and port. */

import { createHash } from "node:crypto";
import { type Cidr, cidrContainsCidr, isIpv4Cidr } from "../../../datapath/net/ip.ts";
import { RESERVED_IDENTITIES } from "../../cluster/identities.ts";
import type { LabelMap } from "../../cluster/labels.ts";
import type { NamedPort } from "../../kubernetes/resources.ts";
import { type CompiledPolicy, type Peer, type PolicyRule, PROTOCOLS } from "./compile.ts";
import type { Cookies, Direction } from "./cookies.ts";
import { selects } from "./selector.ts";

/** An identity as policies see it. */
export interface PolicyIdentity {
  id: number;
  labels: LabelMap;
  /** Of one that stands for a prefix. */
  cidr?: Cidr;
  /** Of its pods. */
  namedPorts?: readonly NamedPort[];
}

/** Whom policies are about. */
export interface PolicySubject {
  labels: LabelMap;
  namedPorts: readonly NamedPort[];
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
  entries: PolicyEntry[];
}

/** Deny wins over allow, and the node's own host over both: kubelet's probes must get through. */
export const PRECEDENCE = { allow: 1, deny: 2, host: 3 } as const;

/** Which identities a rule's peers are, remembered for as long as the list of identities is the same. */
const peersOf = new WeakMap<
  readonly PolicyIdentity[],
  Map<PolicyRule, readonly PolicyIdentity[]>
>();

function isWorld(identity: PolicyIdentity, family?: 4 | 6): boolean {
  const { world, "world-ipv4": v4, "world-ipv6": v6 } = RESERVED_IDENTITIES;
  if (identity.cidr) {
    return family === undefined || isIpv4Cidr(identity.cidr) === (family === 4);
  }
  if (family === undefined) return [world, v4, v6].includes(identity.id as typeof world);
  return identity.id === (family === 4 ? v4 : v6);
}

/**
 * Whether the identity is one of the peers. A prefix is about addresses outside the cluster, as in
 * Cilium: pods and nodes are known by their labels, whatever their addresses.
 */
function isPeer(peer: Peer, identity: PolicyIdentity): boolean {
  switch (peer.kind) {
    case "selector":
      return !identity.cidr && selects(peer.selector, identity.labels);
    case "cidr": {
      const cidr = identity.cidr;
      // In the 16-byte form ::/0 holds the IPv4 addresses too, which is not what it says.
      if (!cidr || isIpv4Cidr(cidr) !== isIpv4Cidr(peer.cidr)) return false;
      return cidrContainsCidr(peer.cidr, cidr) &&
        !peer.except.some((except) => cidrContainsCidr(except, cidr));
    }
    case "entity":
      switch (peer.entity) {
        case "none":
          return false;
        case "world":
          return isWorld(identity);
        case "world-ipv4":
          return isWorld(identity, 4);
        case "world-ipv6":
          return isWorld(identity, 6);
        case "cluster":
        case "cluster-mesh":
          return !isWorld(identity);
        default:
          return Object.hasOwn(identity.labels, `reserved:${peer.entity}`);
      }
  }
}

const ANY_IDENTITY: readonly PolicyIdentity[] = [{ id: 0, labels: {} }];

function rulePeers(
  rule: PolicyRule,
  identities: readonly PolicyIdentity[],
): readonly PolicyIdentity[] {
  const { peers } = rule;
  if (peers === "any") return ANY_IDENTITY;
  let known = peersOf.get(identities);
  if (!known) peersOf.set(identities, known = new Map());
  let result = known.get(rule);
  if (!result) {
    result = identities.filter((identity) => peers.some((peer) => isPeer(peer, identity)));
    known.set(rule, result);
  }
  return result;
}

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

/** The policies that are about the subject. */
export function policiesFor(
  labels: LabelMap,
  policies: readonly CompiledPolicy[],
): CompiledPolicy[] {
  return policies.filter(({ subject }) => selects(subject, labels));
}

function addRule(
  rule: PolicyRule,
  subject: PolicySubject,
  identities: readonly PolicyIdentity[],
  add: (entry: PolicyEntry) => void,
): void {
  const { direction, verdict, cookie } = rule;
  const precedence = PRECEDENCE[verdict];
  const addPorts = (identity: number, protocol: number, first: number, last: number) => {
    for (const { port, prefixLength } of portPrefixes(first, last)) {
      add({ identity, direction, protocol, port, prefixLength, verdict, precedence, cookie });
    }
  };
  for (const match of rule.ports) {
    if (match.kind === "name") {
      const fits = ({ name, protocol }: NamedPort) =>
        name === match.name && (match.protocol === 0 || PROTOCOLS[protocol] === match.protocol);
      // A name is of the responder: of the subject for ingress, of each peer for egress.
      const responders = direction === "egress" && rule.peers === "any"
        ? identities
        : rulePeers(rule, identities);
      for (const identity of responders) {
        const ports = direction === "ingress" ? subject.namedPorts : identity.namedPorts ?? [];
        for (const { port, protocol } of ports.filter(fits)) {
          addPorts(identity.id, PROTOCOLS[protocol], port, port);
        }
      }
      continue;
    }
    for (const { id } of rulePeers(rule, identities)) {
      if (match.kind === "range") {
        addPorts(id, match.protocol, match.first, match.last);
      } else {
        const { protocol } = match;
        add({
          identity: id,
          direction,
          protocol,
          port: 0,
          prefixLength: 0,
          verdict,
          precedence,
          cookie,
        });
      }
    }
  }
}

function side(
  direction: Direction,
  policies: readonly CompiledPolicy[],
  cookies: Cookies,
): PolicySide {
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

/** What `policies`, all of them about the subject, come to. */
export function resolve(
  subject: PolicySubject,
  policies: readonly CompiledPolicy[],
  identities: readonly PolicyIdentity[],
  cookies: Cookies,
): ResolvedPolicy {
  const best = new Map<string, PolicyEntry>();
  const add = (entry: PolicyEntry) => {
    const { direction, identity, protocol, port, prefixLength } = entry;
    const key = `${direction}|${identity}|${protocol}|${port}|${prefixLength}`;
    const other = best.get(key);
    if (
      !other || entry.precedence > other.precedence ||
      (entry.precedence === other.precedence && entry.cookie < other.cookie)
    ) {
      best.set(key, entry);
    }
  };
  for (const { rules } of policies) {
    for (const rule of rules) addRule(rule, subject, identities, add);
  }
  const ingress = side("ingress", policies, cookies);
  const egress = side("egress", policies, cookies);
  if (ingress.enforced || [...best.values()].some(({ verdict }) => verdict === "deny")) {
    add({
      identity: RESERVED_IDENTITIES.host,
      direction: "ingress",
      protocol: 0,
      port: 0,
      prefixLength: 0,
      verdict: "allow",
      precedence: PRECEDENCE.host,
      cookie: cookies.number({
        kind: "pilus",
        namespace: "",
        name: "host",
        direction: "ingress",
        verdict: "allow",
        path: "",
        text: "allowed because a node may always reach its own pods",
      }),
    });
  }
  const order = (a: PolicyEntry, b: PolicyEntry) =>
    (a.direction < b.direction ? -1 : a.direction > b.direction ? 1 : 0) ||
    a.identity - b.identity || a.protocol - b.protocol || a.port - b.port ||
    a.prefixLength - b.prefixLength;
  return { ingress, egress, entries: [...best.values()].sort(order) };
}

/** SHA-256 of the policy in hexadecimal: equal for equal policies. */
export function policyHash({ ingress, egress, entries }: ResolvedPolicy): string {
  const hash = createHash("sha256");
  const sides = [ingress, egress].map((s) => `${Number(s.enforced)},${s.defaultCookie}`);
  const lines = entries.map((e) =>
    `${e.direction},${e.identity},${e.protocol},${e.port},${e.prefixLength},${e.verdict},` +
    `${e.precedence},${e.cookie}`
  );
  return hash.update([...sides, ...lines].join("\n")).digest("hex");
}

/** A connection's first packet as a policy sees it. */
export interface PolicyQuery {
  /** Of the other side. */
  identity: number;
  direction: Direction;
  protocol: number;
  /** Of the responder; the type for ICMP. */
  port: number;
}

/** The verdict and what decided it. */
export interface PolicyVerdict {
  verdict: "allow" | "deny";
  cookie: number;
  /** Undefined when no entry matched. */
  entry: PolicyEntry | undefined;
}

/**
 * The kernel's algorithm. Among all entries of the direction whose identity is the query's or 0,
 * whose protocol is the query's or 0, and whose port prefix holds the query's port, the highest
 * precedence wins; then an entry with a protocol over one for any; then the longer port prefix; then
 * the specific identity. When none matches it is denied if the direction is enforced.
 */
export function evaluate(policy: ResolvedPolicy, query: PolicyQuery): PolicyVerdict {
  let best: PolicyEntry | undefined;
  for (const entry of policy.entries) {
    if (entry.direction !== query.direction) continue;
    if (entry.identity !== 0 && entry.identity !== query.identity) continue;
    if (entry.protocol !== 0 && entry.protocol !== query.protocol) continue;
    if ((entry.port ^ query.port) >>> (16 - entry.prefixLength) !== 0) continue;
    if (!best || beats(entry, best)) best = entry;
  }
  if (best) return { verdict: best.verdict, cookie: best.cookie, entry: best };
  const { enforced, defaultCookie } = policy[query.direction];
  return { verdict: enforced ? "deny" : "allow", cookie: defaultCookie, entry: undefined };
}

function beats(a: PolicyEntry, b: PolicyEntry): boolean {
  if (a.precedence !== b.precedence) return a.precedence > b.precedence;
  if ((a.protocol === 0) !== (b.protocol === 0)) return b.protocol === 0;
  if (a.prefixLength !== b.prefixLength) return a.prefixLength > b.prefixLength;
  return a.identity !== 0 && b.identity === 0;
}
