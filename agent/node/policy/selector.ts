/** Label selectors over identity labels, whose keys have their source in front. */

import type { LabelMap } from "../../cluster/labels.ts";
import type { LabelSelector } from "../../kubernetes/resources.ts";

/** One requirement; all of a selector's must hold. */
export interface Requirement {
  /** The source that the label must have; undefined: any. */
  source: string | undefined;
  /** Without its source. */
  key: string;
  operator: "In" | "NotIn" | "Exists" | "DoesNotExist";
  values: readonly string[];
}

/** What must hold for a label set. Without requirements, everything is selected. */
export type Selector = readonly Requirement[];

/**
 * The requirements of a selector. In one of Kubernetes every key is of source `k8s`; in one of
 * Cilium a key may name its source (`k8s:app`), and `any` or none stands for each.
 */
export function compileSelector(
  selector: LabelSelector,
  language: "k8s" | "cilium",
): Requirement[] {
  const split = (text: string): Pick<Requirement, "source" | "key"> => {
    if (language === "k8s") return { source: "k8s", key: text };
    const colon = text.indexOf(":");
    if (colon < 0) return { source: undefined, key: text };
    const source = text.slice(0, colon);
    return { source: source === "any" ? undefined : source, key: text.slice(colon + 1) };
  };
  return [
    ...Object.entries(selector.matchLabels ?? {}).map(([key, value]): Requirement => ({
      ...split(key),
      operator: "In",
      values: [value],
    })),
    ...(selector.matchExpressions ?? []).map(({ key, operator, values }): Requirement => ({
      ...split(key),
      operator,
      values: values ?? [],
    })),
  ];
}

function valueOf({ source, key }: Requirement, labels: LabelMap): string | undefined {
  if (source !== undefined) return labels[`${source}:${key}`];
  const usual = labels[`k8s:${key}`];
  if (usual !== undefined) return usual;
  for (const name in labels) {
    if (name.length > key.length && name.slice(name.indexOf(":") + 1) === key) return labels[name];
  }
  return undefined;
}

/** Whether the labels meet every requirement. `NotIn` holds where the label is not there. */
export function selects(selector: Selector, labels: LabelMap): boolean {
  return selector.every((requirement) => {
    const value = valueOf(requirement, labels);
    switch (requirement.operator) {
      case "In":
        return value !== undefined && requirement.values.includes(value);
      case "NotIn":
        return value === undefined || !requirement.values.includes(value);
      case "Exists":
        return value !== undefined;
      case "DoesNotExist":
        return value === undefined;
    }
  });
}
