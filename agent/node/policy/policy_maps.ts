/**
 * Resolved policies in the kernel. A policy is one row here and many there: its entries are written
 * before the row that makes them count, and leave after it, so that no packet meets half a policy.
 */

import type { TypedMap } from "../../../datapath/bpf/mod.ts";
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
  /** Sum over the entries, by which a changed or missing one is found out. */
  fingerprint: bigint;
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
  let fingerprint = 0n;
  for (const entry of policy.entries) {
    fingerprint += mix(ruleKey(number, entry), ruleValue(entry));
  }
  return { number, content: content.slice(0, 16), fingerprint, policy };
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

/** A number that differs when any field does; their sum does not depend on the order. */
function mix(key: RuleKey, value: Rule): bigint {
  let h = 0xcbf29ce484222325n;
  for (
    const n of [
      key.identity,
      key.port,
      key.protocol,
      key.prefixLength,
      key.direction,
      value.precedence,
      value.cookie,
      value.proxyPort,
      value.verdict,
    ]
  ) {
    h = BigInt.asUintN(64, (h ^ BigInt(n)) * 0x100000001b3n);
  }
  return h;
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
  const deleteRules = (numbers: ReadonlySet<number>) => {
    const keys: RuleKey[] = [];
    for (const [key] of rules.entries()) if (numbers.has(key.policy)) keys.push(key);
    rules.deleteMany(keys);
  };
  return {
    read() {
      const sums = new Map<number, bigint>();
      for (const [key, value] of rules.entries()) {
        sums.set(key.policy, (sums.get(key.policy) ?? 0n) + mix(key, value));
      }
      const rows: PolicyRow[] = [];
      for (const [number, { content }] of policies.entries()) {
        rows.push({
          number,
          content: content.toString(16).padStart(16, "0"),
          fingerprint: sums.get(number) ?? 0n,
        });
        sums.delete(number);
      }
      // entries without a policy: of an agent that died between the two writes
      for (const number of sums.keys()) {
        rows.push({ number, content: "0".repeat(16), fingerprint: sums.get(number)! });
      }
      return rows;
    },
    apply(upserts, deletes): ApplyResult<PolicyRow> {
      const failed: RowFailure<PolicyRow>[] = [];
      if (deletes.length > 0) {
        policies.deleteMany(deletes.map(({ number }) => number));
        deleteRules(new Set(deletes.map(({ number }) => number)));
      }
      for (const row of upserts) {
        if (!row.policy) {
          failed.push({ row, error: new Error("Its entries are not known yet") });
          continue;
        }
        const { entries } = row.policy;
        const failures = setAll(rules, entries, (e) => [ruleKey(row.number, e), ruleValue(e)]);
        if (failures.length > 0) {
          deleteRules(new Set([row.number]));
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
      return { failed };
    },
  };
}
