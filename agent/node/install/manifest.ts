/** What an API server needs for pilus: the kinds that nodes write, and a role of what they may ask. */

import { IDENTITIES, SLICES } from "../../cluster/kubernetes/published_kinds.ts";
import { customResourceDefinitions } from "../../kubernetes/definitions.ts";
import { groupOf, type WatchedKind } from "../../kubernetes/watch/watched_kind.ts";
import { watchedKinds } from "../../sources/kubernetes/watched_kinds.ts";
import { ownNodePolicy } from "./own_node_policy.ts";

type Json = Record<string, unknown>;

/** One rule of a ClusterRole. */
export interface Rule {
  apiGroups: string[];
  resources: string[];
  verbs: string[];
}

const NAMESPACE = "kube-system";
const AUTHORIZATION = "rbac.authorization.k8s.io";

/** What a node asks for, and no more. */
export function nodeRules(): Rule[] {
  const verbs = new Map<string, Rule>();
  const allow = (kind: WatchedKind, ...more: string[]) => {
    const group = groupOf(kind);
    const key = [group, ...more].join(" ");
    const rule = verbs.get(key);
    if (rule) rule.resources.push(kind.resource);
    else verbs.set(key, { apiGroups: [group], resources: [kind.resource], verbs: more });
  };
  for (const kind of watchedKinds("")) {
    // whose own Node is the owner of what it publishes
    allow(kind, ...(kind.kind === "Node" ? ["get"] : []), "list", "watch");
  }
  allow(IDENTITIES, "create", "get", "list", "watch");
  allow(SLICES, "create", "delete", "list", "patch", "watch");
  return [...verbs.values()];
}

/** What the operator asks for, and no more. */
export function operatorRules(): Rule[] {
  const rule = (group: string, resource: string, ...verbs: string[]): Rule => ({
    apiGroups: [group],
    resources: [resource],
    verbs,
  });
  return [
    rule("coordination.k8s.io", "leases", "create", "get", "update"),
    rule("cilium.io", IDENTITIES.resource, "delete", "list"),
    rule("cilium.io", SLICES.resource, "list"),
    // of a Cilium that is there beside
    rule("cilium.io", "ciliumendpoints", "list"),
  ];
}

/** All objects, in the order in which they are applied. */
export function installManifest(): Json[] {
  return [
    ...customResourceDefinitions(),
    ...account("pilus", nodeRules()),
    ...account("pilus-operator", operatorRules()),
    ...ownNodePolicy(`system:serviceaccount:${NAMESPACE}:pilus`),
  ];
}

/** A service account and its role. */
function account(name: string, rules: Rule[]): Json[] {
  const role = { apiGroup: AUTHORIZATION, kind: "ClusterRole", name };
  return [
    { apiVersion: "v1", kind: "ServiceAccount", metadata: { name, namespace: NAMESPACE } },
    { apiVersion: `${AUTHORIZATION}/v1`, kind: "ClusterRole", metadata: { name }, rules },
    {
      apiVersion: `${AUTHORIZATION}/v1`,
      kind: "ClusterRoleBinding",
      metadata: { name },
      roleRef: role,
      subjects: [{ kind: "ServiceAccount", name, namespace: NAMESPACE }],
    },
  ];
}
