/** Policies computed whole, as the incremental derivations are to say in the end. */

import type { LabelMap } from "../../../cluster/labels.ts";
import type { CompiledPolicy } from "../policy_rule.ts";
import { PolicyHash } from "../policy_hash.ts";
import type { ResolvedPolicy } from "../resolve.ts";
import { selects } from "../selector.ts";

/** The policies that are about the subject. */
export function policiesFor(
  labels: LabelMap,
  policies: readonly CompiledPolicy[],
): CompiledPolicy[] {
  return policies.filter(({ subject }) => selects(subject, labels));
}

/** The hash of a policy in hexadecimal: equal for equal policies. */
export function policyHash(policy: ResolvedPolicy): string {
  return new PolicyHash(policy.entries).digest(policy);
}
