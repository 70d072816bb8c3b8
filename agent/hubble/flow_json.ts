/** Messages as JSON, as protobuf has it, with the names of the definitions. */

import type protobuf from "protobufjs";
import { messageType } from "./messages.ts";

/** The JSON of a message that was decoded. */
export function messageJson(name: string, message: object): Record<string, unknown> {
  return fieldsOf(messageType(name), message);
}

function fieldsOf(type: protobuf.Type, message: object): Record<string, unknown> {
  const json: Record<string, unknown> = {};
  for (const field of type.fieldsArray) {
    const value = (message as Record<string, unknown>)[field.name];
    if (value === undefined || value === null) continue;
    if (!field.repeated) json[field.name] = valueOf(field, value);
    else if ((value as unknown[]).length > 0) {
      json[field.name] = (value as unknown[]).map((one) => valueOf(field, one));
    }
  }
  return json;
}

function valueOf({ type: scalar, resolvedType: type }: protobuf.Field, value: unknown): unknown {
  if (type === null) return /^[us]?int64$|fixed64$/.test(scalar) ? String(value) : value;
  if ("valuesById" in type) return type.valuesById[value as number] ?? value;
  const { fullName } = type;
  if (fullName === ".google.protobuf.Timestamp") return timeText(value as TimeLike);
  if (/^\.google\.protobuf\.\w+Value$/.test(fullName)) {
    return (value as { value?: unknown }).value ?? (fullName.endsWith("BoolValue") ? false : 0);
  }
  return fieldsOf(type as protobuf.Type, value as object);
}

interface TimeLike {
  seconds?: number;
  nanos?: number;
}

/** RFC 3339, with as many digits as are there: none, 3, 6 or 9. */
export function timeText({ seconds = 0, nanos = 0 }: TimeLike): string {
  const second = new Date(seconds * 1000).toISOString().slice(0, -".000Z".length);
  const digits = String(nanos).padStart(9, "0").replace(/(?:000)+$/, "");
  return `${second}${digits === "" ? "" : `.${digits}`}Z`;
}
