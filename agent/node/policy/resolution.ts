/** A resolved policy that follows changes of identities and of the policies behind it. */

import { RESERVED_IDENTITIES } from "../../cluster/identities.ts";
import { equalData } from "../../core/equal.ts";
import type { NamedPort } from "../../kubernetes/resources.ts";
import type { CompiledPolicy } from "./policy_rule.ts";
import type { Cookies } from "./cookies.ts";
import { PolicyHash, rangeOf } from "./policy_hash.ts";
import {
  allEntries,
  compareEntries,
  entriesOfIdentity,
  hostEntries,
  identitiesOf,
  type PeerSource,
  type PolicyEntry,
  type ResolvedPolicy,
  sideOf,
} from "./resolve.ts";

/** What endpoints with the same resolution share; named ports count where policies name ports. */
export interface PolicySetKey {
  policies: readonly CompiledPolicy[];
  namedPorts: readonly NamedPort[];
  /** See {@linkcode PolicySubject.isolated}. */
  isolated: boolean;
}

const { host } = RESERVED_IDENTITIES;

/** The entries of an identity in a direction, a range of all entries, and what they become. */
interface Edit {
  start: number;
  end: number;
  direction: PolicyEntry["direction"];
  id: number;
  now: readonly PolicyEntry[];
}

/** The entries with all edits, in one copy: there may be many thousands of both. */
function edited(entries: readonly PolicyEntry[], edits: Edit[]): readonly PolicyEntry[] {
  const [first, second] = edits;
  if (!first) return entries;
  if (!second) return entries.toSpliced(first.start, first.end - first.start, ...first.now);
  // several are at one place when they add: in the order of entries
  edits.sort((a, b) =>
    a.start - b.start ||
    (a.direction < b.direction ? -1 : a.direction > b.direction ? 1 : a.id - b.id)
  );
  const parts: (readonly PolicyEntry[])[] = [];
  let at = 0;
  for (const { start, end, now } of edits) {
    parts.push(entries.slice(at, start), now);
    at = end;
  }
  parts.push(entries.slice(at));
  return parts.flat();
}

/** What has been resolved so far. */
interface State {
  policy: ResolvedPolicy;
  hashes: PolicyHash;
}

/** See the module. */
export class Resolution {
  readonly #key: PolicySetKey;
  readonly #source: PeerSource;
  readonly #cookies: Cookies;
  readonly #sides: Pick<ResolvedPolicy, "ingress" | "egress">;
  #state: State;
  #hash: string;

  /** @param state of which identities are to be taken in; default: everything resolved now */
  constructor(key: PolicySetKey, source: PeerSource, cookies: Cookies, state?: State) {
    this.#key = key;
    this.#source = source;
    this.#cookies = cookies;
    this.#sides = {
      ingress: sideOf("ingress", key.policies, cookies, key.isolated),
      egress: sideOf("egress", key.policies, cookies, key.isolated),
    };
    this.#state = state ?? this.#whole();
    this.#hash = this.#state.hashes.digest(this.#state.policy);
  }

  get policy(): ResolvedPolicy {
    return this.#state.policy;
  }

  /** In hexadecimal. */
  get hash(): string {
    return this.#hash;
  }

  /** Takes in that these identities have changed, come or gone. */
  update(identities: Iterable<number>): void {
    const ids = new Set(identities);
    this.#state = this.#isMany(ids) ? this.#whole() : this.#patched(ids);
    this.#hash = this.#state.hashes.digest(this.#state.policy);
  }

  /**
   * The resolution of other policies, made from this one where they differ. `changed` are identities
   * that this one has not taken in yet.
   */
  with(key: PolicySetKey, changed: Iterable<number>): Resolution {
    const before = new Set(this.#key.policies), after = new Set(key.policies);
    const ids = identitiesOf(before.symmetricDifference(after), this.#source);
    for (const id of changed) ids.add(id);
    const samePorts = equalData(key.namedPorts, this.#key.namedPorts);
    if (!samePorts || this.#isMany(ids)) return new Resolution(key, this.#source, this.#cookies);
    const { policy, hashes } = this.#state;
    const state = { policy, hashes: hashes.clone() };
    const result = new Resolution(key, this.#source, this.#cookies, state);
    result.update(ids);
    return result;
  }

  #isMany(ids: ReadonlySet<number>): boolean {
    return ids.size * 4 > this.#state.policy.entries.length + 64;
  }

  #whole(): State {
    const byIdentity = allEntries(this.#key.policies, this.#key, this.#source);
    const ofHost = byIdentity.get(host) ?? [];
    byIdentity.delete(host);
    const others = [...byIdentity.values()].flat();
    const entries = [...others, ...this.#host(ofHost)].sort(compareEntries);
    return { policy: { ...this.#sides, entries }, hashes: new PolicyHash(entries) };
  }

  #patched(ids: ReadonlySet<number>): State {
    const { policies } = this.#key;
    const { policy, hashes } = this.#state;
    const edits: Edit[] = [];
    const put = (id: number, list: readonly PolicyEntry[]) => {
      for (const direction of ["egress", "ingress"] as const) {
        const [start, end] = rangeOf(policy.entries, direction, id, id + 1);
        const before = policy.entries.slice(start, end);
        const now = list.filter((entry) => entry.direction === direction).sort(compareEntries);
        if (equalData(before, now)) continue;
        edits.push({ start, end, direction, id, now });
      }
    };
    for (const id of ids) {
      if (id !== host) put(id, entriesOfIdentity(id, policies, this.#key, this.#source));
    }
    const ofHost = entriesOfIdentity(host, policies, this.#key, this.#source);
    put(host, this.#host(ofHost));
    const entries = edited(policy.entries, edits);
    hashes.update(entries, edits.map(({ id }) => id));
    return { policy: { ...this.#sides, entries }, hashes };
  }

  #host(entries: readonly PolicyEntry[]): readonly PolicyEntry[] {
    return this.#sides.ingress.enforced ? hostEntries(entries, this.#cookies) : entries;
  }
}
