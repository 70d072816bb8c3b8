/** Which identities the peers of a rule are. */

import { type Cidr, cidrContainsCidr, isIpv4Cidr } from "../../../datapath/net/ip.ts";
import { RESERVED_IDENTITIES } from "../../cluster/identities.ts";
import type { LabelMap } from "../../cluster/labels.ts";
import type { NamedPort } from "../../kubernetes/resources.ts";
import type { Peer, PolicyRule } from "./policy_rule.ts";
import { LabelIndex, SelectorIndex } from "./label_index.ts";
import { PrefixIndex } from "./prefix_index.ts";
import { type Selector, selects } from "./selector.ts";

/** An identity as policies see it. */
export interface PolicyIdentity {
  id: number;
  labels: LabelMap;
  /** Of one that stands for a prefix. */
  cidr?: Cidr;
  /** Of its pods. */
  namedPorts?: readonly NamedPort[];
}

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

/** Whether the rule names the identity as a peer; one that is about any names none. */
export function namesPeer({ peers }: PolicyRule, identity: PolicyIdentity): boolean {
  return peers !== "any" && peers.some((peer) => isPeer(peer, identity));
}

/** Entities that are not known by a label of their name, or have prefixes among them. */
const UNLABELLED = new Set([
  ...["world", "world-ipv4", "world-ipv6", "cluster", "cluster-mesh", "kube-apiserver"],
]);

/** The labels that a peer's identity must have; undefined: no labels decide. */
function selectorOf(peer: Peer): Selector | undefined {
  if (peer.kind === "selector") return peer.selector;
  if (peer.kind === "cidr" || UNLABELLED.has(peer.entity)) return undefined;
  return [{ source: "reserved", key: peer.entity, operator: "In", values: [""] }];
}

/** All identities, to be found by the peers of a rule. */
export class Identities {
  #byId = new Map<number, PolicyIdentity>();
  #byLabel = new LabelIndex<number>();
  #byPrefix = new PrefixIndex<PolicyIdentity>();
  #withPorts = new Map<number, PolicyIdentity>();
  /** Of rules, until an identity changes. */
  #found = new WeakMap<PolicyRule, readonly PolicyIdentity[]>();

  get(id: number): PolicyIdentity | undefined {
    return this.#byId.get(id);
  }

  set(identity: PolicyIdentity): void {
    const { id } = identity;
    this.delete(id);
    this.#byId.set(id, identity);
    if (identity.cidr) this.#byPrefix.add(identity.cidr, identity);
    else this.#byLabel.add(identity.labels, id);
    if (identity.namedPorts?.length) this.#withPorts.set(id, identity);
  }

  delete(id: number): void {
    this.#found = new WeakMap();
    const before = this.#byId.get(id);
    if (!before) return;
    this.#byId.delete(id);
    if (before.cidr) this.#byPrefix.delete(before.cidr, before);
    else this.#byLabel.delete(before.labels, id);
    this.#withPorts.delete(id);
  }

  /** The identities that have named ports. */
  withPorts(): Iterable<PolicyIdentity> {
    return this.#withPorts.values();
  }

  /** The identities that the rule names as peers. */
  peersOf(rule: PolicyRule): readonly PolicyIdentity[] {
    let found = this.#found.get(rule);
    if (!found) this.#found.set(rule, found = this.#peersOf(rule));
    return found;
  }

  #peersOf({ peers }: PolicyRule): readonly PolicyIdentity[] {
    if (peers === "any") return [];
    const found = new Set<PolicyIdentity>();
    for (const peer of peers) {
      for (const identity of this.#candidates(peer)) {
        if (isPeer(peer, identity)) found.add(identity);
      }
    }
    return [...found];
  }

  *#candidates(peer: Peer): Iterable<PolicyIdentity> {
    if (peer.kind === "cidr") return yield* this.#byPrefix.within(peer.cidr);
    const selector = selectorOf(peer);
    const ids = selector && this.#byLabel.candidates(selector);
    if (!ids) return yield* this.#byId.values();
    for (const id of ids) yield this.#byId.get(id)!;
  }
}

/** Rules, to be found by an identity that may be one of their peers. */
export class RulesByPeer {
  #ruleOf = new Map<Peer, PolicyRule>();
  #byLabel = new SelectorIndex<Peer>();
  #byPrefix = new PrefixIndex<Peer>();
  #others = new Set<Peer>();

  add(rule: PolicyRule): void {
    if (rule.peers === "any") return;
    for (const peer of rule.peers) {
      this.#ruleOf.set(peer, rule);
      const selector = selectorOf(peer);
      if (selector) this.#byLabel.add(selector, peer);
      else if (peer.kind === "cidr") this.#byPrefix.add(peer.cidr, peer);
      else this.#others.add(peer);
    }
  }

  delete(rule: PolicyRule): void {
    if (rule.peers === "any") return;
    for (const peer of rule.peers) {
      this.#ruleOf.delete(peer);
      this.#byLabel.delete(peer);
      if (peer.kind === "cidr") this.#byPrefix.delete(peer.cidr, peer);
      this.#others.delete(peer);
    }
  }

  /** The rules that name the identity as a peer. */
  naming(identity: PolicyIdentity): Set<PolicyRule> {
    const found = new Set<PolicyRule>();
    const test = (peers: Iterable<Peer>) => {
      for (const peer of peers) if (isPeer(peer, identity)) found.add(this.#ruleOf.get(peer)!);
    };
    if (identity.cidr) test(this.#byPrefix.around(identity.cidr));
    else test(this.#byLabel.candidates(identity.labels));
    test(this.#others);
    return found;
  }
}
