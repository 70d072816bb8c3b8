/**
 * Which policies each endpoint of this node has, and what those come to. Endpoints with the same
 * policies share one resolution; a change reaches those alone that it is about.
 */

import type { Change } from "../../core/table.ts";
import { equalData } from "../../core/equal.ts";
import { rowsOf } from "../../core/derive_groups.ts";
import type { CompiledPolicy, PolicyRule } from "./policy_rule.ts";
import type { Cookies } from "./cookies.ts";
import { LabelIndex, SelectorIndex } from "./label_index.ts";
import { Identities, type PolicyIdentity, RulesByPeer } from "./peers.ts";
import { type PolicySetKey, Resolution } from "./resolution.ts";
import {
  namesPortsOfPeers,
  needsPorts,
  type PolicySubject,
  type ResolvedPolicy,
} from "./resolve.ts";
import { selects } from "./selector.ts";

/** An endpoint of this node, as policies see it. */
export interface LocalSubject extends PolicySubject {
  /** The endpoint's number. */
  id: number;
}

/** What a {@linkcode PolicySetKey} comes to, for some endpoints. */
interface PolicySet {
  text: string;
  policies: readonly CompiledPolicy[];
  resolution: Resolution;
  /** Identities that have changed since it was resolved. */
  changed: Set<number>;
  /** Keys of the endpoints that have it. */
  endpoints: Set<string>;
}

/** See the module. */
export class PolicySets {
  readonly #cookies: Cookies;
  readonly #identities = new Identities();
  readonly #bySubject = new SelectorIndex<CompiledPolicy>();
  readonly #subjects = new Map<string, LocalSubject>();
  readonly #subjectsByLabel = new LabelIndex<string>();
  readonly #sets = new Map<string, PolicySet>();
  readonly #setOf = new Map<string, PolicySet>();
  /** Of the rules of all sets: the sets. */
  readonly #setsOf = new Map<PolicyRule, Set<PolicySet>>();
  readonly #rulesByPeer = new RulesByPeer();
  /** Rules that depend on the named ports of all identities. */
  readonly #rulesByPorts = new Set<PolicyRule>();
  readonly #numbers = new WeakMap<CompiledPolicy, number>();
  #lastNumber = 0;

  constructor(cookies: Cookies) {
    this.#cookies = cookies;
  }

  /** Returns the endpoints whose policies may differ now. */
  policyChanged(change: Change<CompiledPolicy>): string[] {
    const affected = [...rowsOf(change)].flatMap(({ subject }) =>
      [...this.#subjectsByLabel.candidates(subject) ?? this.#subjects.keys()]
        .filter((key) => selects(subject, this.#subjects.get(key)!.labels))
    );
    if (change.kind !== "added") this.#bySubject.delete(change.previous);
    if (change.kind !== "deleted") this.#bySubject.add(change.row.subject, change.row);
    return affected;
  }

  /** Returns the endpoints whose policies may differ now. */
  identityChanged(change: Change<PolicyIdentity>): string[] {
    const affected = new Set<PolicySet>();
    const portsAlone = change.kind === "updated" &&
      equalData(change.row.labels, change.previous.labels) &&
      equalData(change.row.cidr, change.previous.cidr);
    for (const identity of rowsOf(change)) {
      const rules = this.#rulesByPeer.naming(identity);
      if (identity.namedPorts?.length) { for (const rule of this.#rulesByPorts) rules.add(rule); }
      for (const rule of rules) {
        if (portsAlone && !namesPortsOfPeers(rule)) continue;
        for (const set of this.#setsOf.get(rule) ?? []) affected.add(set);
      }
    }
    if (change.kind === "deleted") this.#identities.delete(change.previous.id);
    else this.#identities.set(change.row);
    const { id } = change.kind === "deleted" ? change.previous : change.row;
    for (const set of affected) set.changed.add(id);
    return [...affected].flatMap(({ endpoints }) => [...endpoints]);
  }

  /** Returns the endpoint. */
  subjectChanged(change: Change<LocalSubject>): string[] {
    const { key } = change;
    for (const { labels } of rowsOf(change)) Object.keys(labels);
    if (change.kind !== "added") this.#subjectsByLabel.delete(change.previous.labels, key);
    if (change.kind === "deleted") {
      this.#subjects.delete(key);
    } else {
      this.#subjectsByLabel.add(change.row.labels, key);
      this.#subjects.set(key, change.row);
    }
    return [key];
  }

  /** What the endpoint's policies come to; undefined when there is no such endpoint. */
  resolve(endpoint: string): { policy: ResolvedPolicy; hash: string } | undefined {
    const subject = this.#subjects.get(endpoint);
    const before = this.#setOf.get(endpoint);
    if (!subject) {
      this.#setOf.delete(endpoint);
      if (before) this.#leave(before, endpoint);
      return undefined;
    }
    const key = this.#keyOf(subject);
    const text = this.#textOf(key);
    const set = this.#sets.get(text) ?? this.#create(text, key, before);
    if (set.changed.size > 0) {
      set.resolution.update(set.changed);
      set.changed.clear();
    }
    if (set !== before) {
      set.endpoints.add(endpoint);
      this.#setOf.set(endpoint, set);
      if (before) this.#leave(before, endpoint);
    }
    return { policy: set.resolution.policy, hash: set.resolution.hash };
  }

  #keyOf({ labels, namedPorts, isolated = false }: LocalSubject): PolicySetKey {
    const policies = [...this.#bySubject.candidates(labels)]
      .filter(({ subject }) => selects(subject, labels));
    const ports = policies.some(({ rules }) =>
      rules.some((rule) =>
        rule.direction === "ingress" && rule.ports.some(({ kind }) => kind === "name")
      )
    );
    return { policies, namedPorts: ports ? namedPorts : [], isolated };
  }

  #textOf({ policies, namedPorts, isolated }: PolicySetKey): string {
    const numbers = policies.map((policy) => {
      let number = this.#numbers.get(policy);
      if (number === undefined) this.#numbers.set(policy, number = ++this.#lastNumber);
      return number;
    });
    return JSON.stringify([numbers.sort((a, b) => a - b), namedPorts, isolated]);
  }

  /** The set that differs in the fewest policies; a likely one is enough. */
  #nearest({ policies }: PolicySetKey, like: PolicySet | undefined): PolicySet | undefined {
    if (like) return like;
    const wanted = new Set(policies);
    let best: PolicySet | undefined, least = Infinity;
    for (const set of this.#sets.values()) {
      const common = set.policies.reduce((sum, policy) => sum + Number(wanted.has(policy)), 0);
      const difference = set.policies.length + policies.length - 2 * common;
      if (common > 0 && difference < least) [best, least] = [set, difference];
    }
    return best;
  }

  /** @param like the endpoint's set so far */
  #create(text: string, key: PolicySetKey, like: PolicySet | undefined): PolicySet {
    const near = this.#nearest(key, like);
    const resolution = near?.resolution.with(key, near.changed) ??
      new Resolution(key, this.#identities, this.#cookies);
    const { policies } = key;
    const set = {
      text,
      policies,
      resolution,
      changed: new Set<number>(),
      endpoints: new Set<string>(),
    };
    this.#sets.set(text, set);
    for (const { rules } of policies) {
      for (const rule of rules) {
        const sets = this.#setsOf.get(rule);
        if (sets) {
          sets.add(set);
          continue;
        }
        this.#setsOf.set(rule, new Set([set]));
        this.#rulesByPeer.add(rule);
        if (needsPorts(rule)) this.#rulesByPorts.add(rule);
      }
    }
    return set;
  }

  #leave(set: PolicySet, endpoint: string): void {
    set.endpoints.delete(endpoint);
    if (set.endpoints.size > 0) return;
    this.#sets.delete(set.text);
    for (const { rules } of set.policies) {
      for (const rule of rules) {
        const sets = this.#setsOf.get(rule)!;
        sets.delete(set);
        if (sets.size > 0) continue;
        this.#setsOf.delete(rule);
        this.#rulesByPeer.delete(rule);
        this.#rulesByPorts.delete(rule);
      }
    }
  }
}
