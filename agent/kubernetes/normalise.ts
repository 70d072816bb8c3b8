/** From a resource as the API has it to the form that tables have. */

import type { Interner } from "./interner.ts";
import { KINDS } from "./kinds.ts";
import type { Resource, ResourceKind } from "./resources.ts";
import { isRecord } from "./schema.ts";

/**
 * Drops the version and fields that are null, and fills in namespace and labels, so that readers need
 * no defaults for these. The value has been checked by its kind's schema.
 */
export function normalise(
  kind: ResourceKind,
  value: Record<string, unknown>,
  interner: Interner,
): Resource {
  const { namespaced, dated, pack } = KINDS[kind];
  const { apiVersion: _, metadata: { creationTimestamp, ...metadata }, ...rest } = value as
    & Record<string, unknown>
    & { metadata: Partial<Resource["metadata"]> };
  const filled = withoutUnset(rest) as Record<string, unknown>;
  return interner.intern({
    ...(pack ? pack(filled) : filled),
    kind,
    metadata: {
      ...metadata,
      namespace: namespaced ? metadata.namespace || "default" : "",
      ...(dated && creationTimestamp ? { creationTimestamp } : {}),
      labels: withTexts(metadata.labels ?? {}),
      ...(metadata.annotations ? { annotations: withTexts(metadata.annotations) } : {}),
    },
  }) as Resource;
}

/** Maps of texts, not of fields. */
const TEXTS = new Set(["matchLabels", "selector"]);

/** The value without fields that are empty texts, as these count as missing. */
function withoutUnset(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) {
    const items = value.map(withoutUnset);
    return items.some((item, i) => item !== value[i]) ? items : value;
  }
  let copy: Record<string, unknown> | undefined;
  for (const name of Object.keys(value)) {
    const field = (value as Record<string, unknown>)[name];
    const now = TEXTS.has(name) && isRecord(field)
      ? withTexts(field as Record<string, string | null>)
      : withoutUnset(field);
    if (now === field && now !== "" || name === "__proto__") continue;
    copy ??= { ...value };
    if (now === "") delete copy[name];
    else copy[name] = now;
  }
  return copy ?? value;
}

/** As the API reads labels and annotations without a value. */
function withTexts(labels: Record<string, string | null>): Record<string, string> {
  const values = Object.entries(labels);
  if (values.every(([, value]) => value !== null)) return labels as Record<string, string>;
  return Object.fromEntries(values.map(([key, value]) => [key, value ?? ""]));
}
