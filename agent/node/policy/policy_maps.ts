/**
 * Resolved policies in the kernel. A policy is one row here and many there: its entries are written
 * before the row that makes them count, and leave after it, so that no packet meets half a policy.
 */

import { mapFingerprint, type TypedMap } from "../../../datapath/bpf/mod.ts";
import {
  type Policy,
  PolicyDirection,
  type Rule,
  type RuleKey,
  RuleVerdict,
} from "../../../datapath/maps/generated.ts";
import { setAll } from "../map_target.ts";
import type { ApplyResult, RowFailure, Target } from "../../core/reconciler.ts";
import { Table } from "../../core/table.ts";
import type { PolicyEntry, ResolvedPolicy } from "./resolve.ts";

/** A policy under its number. */
export interface PolicyRow {
  number: number;
  /** Hash of the policy: 16 hexadecimal digits. */
  content: string;
  /** Of the entries in any order, by which a changed, missing or additional one is found out. */
  fingerprint: string;
  /** Absent in rows that were read from the kernel. */
  policy?: ResolvedPolicy;
}

/** Bit of PolicySide.prefixes that says: some entry is for any protocol. */
const ANY_PROTOCOL_BIT = 31;

/** A table of policies by number. */
export function policyTable(): Table<PolicyRow> {
  return new Table<PolicyRow>({
    name: "policies",
    key: ({ number }) => String(number),
    equal: (a, b) => samePolicy(a, b) && (a.policy === undefined) === (b.policy === undefined),
  });
}

/** Whether the kernel's row has what the desired one wants. */
export function samePolicy(a: PolicyRow, b: PolicyRow): boolean {
  return a.content === b.content && a.fingerprint === b.fingerprint;
}

/** The row of a policy. `content` is its hash in hexadecimal. */
export function policyRow(number: number, content: string, policy: ResolvedPolicy): PolicyRow {
  const sum = new Sum();
  for (const entry of policy.entries) sum.add(ruleKey(number, entry), ruleValue(entry));
  return { number, content: content.slice(0, 16), fingerprint: sum.text, policy };
}

function ruleKey(number: number, e: PolicyEntry): RuleKey {
  return {
    policy: number,
    identity: e.identity,
    port: e.port,
    protocol: e.protocol,
    prefixLength: e.prefixLength,
    direction: e.direction === "ingress" ? PolicyDirection.INGRESS : PolicyDirection.EGRESS,
  };
}

function ruleValue(e: PolicyEntry): Rule {
  return {
    precedence: e.precedence,
    cookie: e.cookie,
    proxyPort: 0,
    verdict: e.verdict === "allow" ? RuleVerdict.ALLOW : RuleVerdict.DENY,
  };
}

/** Adds up hashes of rules, each as it is in the kernel but for the policy's number. */
class Sum {
  #first = 0;
  #second = 0;

  add(key: RuleKey, value: Rule): void {
    let hash = 0x811c9dc5;
    const mix = (number: number) => {
      hash = Math.imul(hash ^ number, 0x85ebca6b);
      hash = Math.imul(hash ^ hash >>> 13, 0xc2b2ae35);
      hash ^= hash >>> 16;
    };
    mix(key.identity);
    mix(key.port << 16 | key.protocol << 8 | key.prefixLength << 1 | key.direction);
    mix(value.precedence);
    mix(value.cookie);
    mix(value.proxyPort << 8 | value.verdict);
    this.#first = (this.#first + hash) | 0;
    this.#second = (this.#second + Math.imul(hash ^ hash >>> 15, 0x27d4eb2f)) | 0;
  }

  get text(): string {
    return `${this.#first},${this.#second}`;
  }
}

function policyValue(row: PolicyRow, policy: ResolvedPolicy): Policy {
  const side = (direction: "ingress" | "egress") => {
    let prefixes = 0;
    for (const e of policy.entries) {
      if (e.direction !== direction) continue;
      prefixes |= 1 << (e.protocol === 0 ? ANY_PROTOCOL_BIT : e.prefixLength);
    }
    const { enforced, defaultCookie } = policy[direction];
    return { prefixes: prefixes >>> 0, defaultCookie, enforced: enforced ? 1 : 0 };
  };
  return { side: [side("ingress"), side("egress")], content: BigInt(`0x${row.content}`) };
}

/** The maps pilus_policies and pilus_rules. */
export function policyTarget(
  policies: TypedMap<number, Policy>,
  rules: TypedMap<RuleKey, Rule>,
): Target<PolicyRow> {
  /** Fingerprints of what the kernel had at the last reading and we have not written since. */
  const found = new Map<number, string>();
  const keysOf = ({ number, policy }: PolicyRow) =>
    policy!.entries.map((entry) => ruleKey(number, entry));
  /** Deletes the rules of these numbers; of those that have a row with a policy, the others alone. */
  const deleteOthers = (wanted: ReadonlyMap<number, PolicyRow>) => {
    if (wanted.size === 0) return;
    const text = (key: RuleKey) =>
      `${key.policy}|${key.identity}|${key.port}|${key.protocol}|${key.prefixLength}|${key.direction}`;
    const kept = new Set(
      [...wanted.values()].filter(({ policy }) => policy).flatMap(keysOf).map(text),
    );
    const keys: RuleKey[] = [];
    for (const [key] of rules.entries()) {
      if (wanted.has(key.policy) && !kept.has(text(key))) keys.push(key);
    }
    rules.deleteMany(keys);
  };
  return {
    read() {
      const sums = new Map<number, Sum>();
      for (const [key, value] of rules.entries()) {
        let sum = sums.get(key.policy);
        if (!sum) sums.set(key.policy, sum = new Sum());
        sum.add(key, value);
      }
      const rows: PolicyRow[] = [];
      for (const [number, { content }] of policies.entries()) {
        rows.push({
          number,
          content: content.toString(16).padStart(16, "0"),
          fingerprint: (sums.get(number) ?? new Sum()).text,
        });
        sums.delete(number);
      }
      // entries without a policy: of an agent that died between the two writes
      for (const [number, { text }] of sums) {
        rows.push({ number, content: "0".repeat(16), fingerprint: text });
      }
      found.clear();
      for (const { number, fingerprint } of rows) found.set(number, fingerprint);
      return rows;
    },
    fingerprint: () => `${mapFingerprint(policies.raw)} ${mapFingerprint(rules.raw)}`,
    apply(upserts, deletes): ApplyResult<PolicyRow> {
      const failed: RowFailure<PolicyRow>[] = [];
      if (deletes.length > 0) {
        policies.deleteMany(deletes.map(({ number }) => number));
        const [known, unknown] = [
          deletes.filter(({ policy }) => policy),
          deletes.filter(({ policy }) => !policy),
        ];
        rules.deleteMany(known.flatMap(keysOf));
        deleteOthers(new Map(unknown.map((row) => [row.number, row])));
      }
      // what has been changed from outside may have more rules than are written below
      deleteOthers(
        new Map(
          upserts.filter(({ number, fingerprint, policy }) =>
            policy && found.has(number) && found.get(number) !== fingerprint
          ).map((row) => [row.number, row]),
        ),
      );
      for (const row of upserts) {
        if (!row.policy) {
          failed.push({ row, error: new Error("Its entries are not known yet") });
          continue;
        }
        const { entries } = row.policy;
        const failures = setAll(rules, entries, (e) => [ruleKey(row.number, e), ruleValue(e)]);
        if (failures.length > 0) {
          rules.deleteMany(keysOf(row));
          failed.push({
            row,
            error: new Error(
              `Cannot install a policy of ${entries.length} entries, so the one before stays in ` +
                `force: ${failures[0]!.error.message}`,
            ),
          });
          continue;
        }
        policies.set(row.number, policyValue(row, row.policy));
      }
      for (const { number } of [...upserts, ...deletes]) found.delete(number);
      return { failed };
    },
  };
}
