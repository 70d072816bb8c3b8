/**
 * Policies of all kinds as one kind of rule. What is not supported yet is said per policy and fails
 * closed: a rule whose peers are unknown allows none (denies all, if it denies), and one
 * that a proxy would have to enforce allows nothing.
 */

import type { PolicyResource } from "../../kubernetes/resources.ts";
import { compileCilium } from "./compile_cilium.ts";
import { compileNetworkPolicy } from "./compile_network_policy.ts";
import type { Cookies } from "./cookies.ts";
import type { CompiledPolicy } from "./policy_rule.ts";

/** The rules of a policy of any kind. */
export function compilePolicy(resource: PolicyResource, cookies: Cookies): CompiledPolicy[] {
  if (resource.kind === "NetworkPolicy") return [compileNetworkPolicy(resource, cookies)];
  const specs = (resource.specs ?? []).map((spec, i) => ({ spec, path: `specs[${i}]` }));
  if (resource.spec) specs.unshift({ spec: resource.spec, path: "spec" });
  return specs.map(({ spec, path }) => compileCilium(resource, spec, path, cookies));
}
