/** What is read of objects that others wrote: an API server, or programs newer than this one. */

import { isRecord, type Schema, shapeOf } from "./schema.ts";

/**
 * The value without the fields that its schema does not read: those that it passes over, and unless
 * `keepUnknown` those that it does not know.
 */
export function knownParts(value: unknown, schema: Schema, keepUnknown = false): unknown {
  const shape = shapeOf(schema);
  if (!shape) return value;
  if ("item" in shape) {
    if (!Array.isArray(value)) return value;
    return value.map((item) => knownParts(item, shape.item, keepUnknown));
  }
  if (!isRecord(value)) return value;
  const parts: Record<string, unknown> = {};
  const passed = new Set(shape.unused);
  for (const [name, field] of Object.entries(value)) {
    const known = Object.hasOwn(shape.fields, name) ? shape.fields[name] : undefined;
    if (known) parts[name] = knownParts(field, known, keepUnknown);
    else if (keepUnknown && !passed.has(name)) parts[name] = field;
  }
  return parts;
}
