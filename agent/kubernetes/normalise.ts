/** From a resource as the API has it to the form that tables have. */

import type { Interner } from "./interner.ts";
import { KINDS } from "./kinds.ts";
import type { Resource, ResourceKind } from "./resources.ts";

/**
 * Drops the version and fields that are null, and fills in namespace and labels, so that readers need
 * no defaults for these. The value has been checked by its kind's schema.
 */
export function normalise(
  kind: ResourceKind,
  value: Record<string, unknown>,
  interner: Interner,
): Resource {
  const { namespaced, pack } = KINDS[kind];
  const { apiVersion: _, metadata, ...rest } = value as
    & Record<string, unknown>
    & { metadata: Partial<Resource["metadata"]> };
  return interner.intern({
    ...(pack ? pack(rest) : rest),
    kind,
    metadata: {
      ...metadata,
      namespace: namespaced ? metadata.namespace ?? "default" : "",
      labels: withTexts(metadata.labels ?? {}),
      ...(metadata.annotations ? { annotations: withTexts(metadata.annotations) } : {}),
    },
  }) as Resource;
}

/** As the API reads labels and annotations without a value. */
function withTexts(labels: Record<string, string | null>): Record<string, string> {
  const values = Object.entries(labels);
  if (values.every(([, value]) => value !== null)) return labels as Record<string, string>;
  return Object.fromEntries(values.map(([key, value]) => [key, value ?? ""]));
}
