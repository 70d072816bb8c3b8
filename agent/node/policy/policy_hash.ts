/** A hash of a policy's content that follows changes of single identities. */

import { createHash } from "node:crypto";
import type { Direction } from "./cookies.ts";
import type { PolicyEntry, ResolvedPolicy } from "./resolve.ts";

/** Identities whose entries are hashed together. */
const IDENTITIES = 128;

/** The entries of a direction and of identities from `low` to below `high`, as a range of indices. */
export function rangeOf(
  entries: readonly PolicyEntry[],
  direction: Direction,
  low: number,
  high: number,
): [start: number, end: number] {
  const find = (identity: number) => {
    let first = 0, last = entries.length;
    while (first < last) {
      const middle = (first + last) >>> 1;
      const entry = entries[middle]!;
      const before = entry.direction === direction
        ? entry.identity < identity
        : entry.direction < direction;
      if (before) first = middle + 1;
      else last = middle;
    }
    return first;
  };
  return [find(low), find(high)];
}

function hashOf(texts: readonly string[]): string {
  return createHash("sha256").update(texts.join("\n")).digest("hex").slice(0, 32);
}

function textOf(e: PolicyEntry): string {
  return `${e.direction},${e.identity},${e.protocol},${e.port},${e.prefixLength},${e.verdict},` +
    `${e.precedence},${e.cookie}`;
}

/** SHA-256, its first half, over the hashes of groups of identities. */
export class PolicyHash {
  #groups = new Map<number, string>();

  constructor(entries: readonly PolicyEntry[] = []) {
    const texts = new Map<number, string[]>();
    for (const entry of entries) {
      const group = Math.floor(entry.identity / IDENTITIES);
      const list = texts.get(group);
      if (list) list.push(textOf(entry));
      else texts.set(group, [textOf(entry)]);
    }
    for (const [group, list] of texts) this.#groups.set(group, hashOf(list));
  }

  clone(): PolicyHash {
    const copy = new PolicyHash();
    copy.#groups = new Map(this.#groups);
    return copy;
  }

  /** Takes in that the entries of these identities have changed. */
  update(entries: readonly PolicyEntry[], identities: Iterable<number>): void {
    const groups = new Set<number>();
    for (const identity of identities) groups.add(Math.floor(identity / IDENTITIES));
    for (const group of groups) {
      const texts: string[] = [];
      for (const direction of ["egress", "ingress"] as const) {
        const low = group * IDENTITIES;
        const [start, end] = rangeOf(entries, direction, low, low + IDENTITIES);
        for (let i = start; i < end; i++) texts.push(textOf(entries[i]!));
      }
      if (texts.length > 0) this.#groups.set(group, hashOf(texts));
      else this.#groups.delete(group);
    }
  }

  /** In hexadecimal. */
  digest({ ingress, egress }: Pick<ResolvedPolicy, "ingress" | "egress">): string {
    const sides = [ingress, egress].map((s) => `${Number(s.enforced)},${s.defaultCookie}`);
    const groups = Uint32Array.from(this.#groups.keys()).sort();
    return hashOf([...sides, ...Array.from(groups, (key) => `${key}:${this.#groups.get(key)}`)]);
  }
}
