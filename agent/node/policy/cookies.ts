/** Numbers that packets' verdicts carry, and the rules they lead back to. */

import { hash32 } from "../../cluster/labels.ts";
import type { PolicyResource } from "../../kubernetes/resources.ts";

export type Direction = "ingress" | "egress";

/** The manifest's rule behind a verdict, or the default denial when no rule allows. */
export interface RuleReference {
  kind: PolicyResource["kind"] | "pilus";
  namespace: string;
  name: string;
  direction: Direction;
  verdict: "allow" | "deny";
  /** The way to the rule in the manifest, such as `spec.ingress[0]`; empty for a default denial. */
  path: string;
  /** For people. */
  text: string;
}

/** Numbers for rules: the same number for the same rule, over restarts and on every node. */
export class Cookies {
  #rules = new Map<number, { key: string; rule: RuleReference }>();

  /** The rule's number, 1 to 2^32-1. */
  number(rule: RuleReference): number {
    const key = JSON.stringify([
      rule.kind,
      rule.namespace,
      rule.name,
      rule.direction,
      rule.verdict,
      rule.path,
      rule.text,
    ]);
    for (let number = hash32(key) || 1;; number = (number + 1) >>> 0 || 1) {
      const known = this.#rules.get(number);
      if (known?.key === key) return number;
      if (!known) {
        this.#rules.set(number, { key, rule });
        return number;
      }
    }
  }

  /** The rule of a number; undefined when it is of an earlier manifest, or 0. */
  get(number: number): RuleReference | undefined {
    return this.#rules.get(number)?.rule;
  }
}
