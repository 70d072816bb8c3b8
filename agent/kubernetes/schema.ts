/**
 * Checks of plain values, as YAML and JSON give them. What is wrong is told with the way to the field.
 * An optional field whose value is null counts as missing.
 */

import { didYouMean } from "../core/nearest.ts";

/** A field's name, or an index of a list. */
export type Step = string | number;

/** What is wrong with a value, or with the key that leads to it, or that it is missing. */
export interface Fault {
  path: readonly Step[];
  about: "value" | "field" | "key" | "missing";
  message: string;
}

/** Tells everything that is wrong with the value. */
export type Schema = (value: unknown) => readonly Fault[];

const NONE: readonly Fault[] = [];

/** The way as people write it, such as `spec.ingress[0].ports[1].port`. */
export function pathText(path: readonly Step[]): string {
  return path.reduce<string>((text, step) => {
    if (typeof step === "string" && /^[A-Za-z_$][\w$-]*$/.test(step)) {
      return text === "" ? step : `${text}.${step}`;
    }
    return text === "" ? String(step) : `${text}[${step}]`;
  }, "");
}

/** The fault in words. */
export function faultText({ path, about, message }: Fault): string {
  const where = about === "key" ? `key of ${pathText(path.slice(0, -1))}` : pathText(path);
  return where === "" ? message : `${where} ${message}`;
}

function fault(message: string): readonly Fault[] {
  return [{ path: [], about: "value", message }];
}

function within(step: Step, faults: readonly Fault[]): readonly Fault[] {
  if (faults.length === 0) return faults;
  return faults.map((fault) => ({ ...fault, path: [step, ...fault.path] }));
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function describe(value: unknown): string {
  if (value === null || value === undefined) return "empty";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "a map";
  return `the ${typeof value} ${JSON.stringify(value)}`;
}

function scalar(what: string, accept: (value: unknown) => boolean, fix = ""): Schema {
  return (value) =>
    accept(value) ? NONE : fault(`is ${describe(value)}, and must be ${what}${fix}`);
}

/** Anything at all: a field that pilus knows and does not use. */
export const anything: Schema = () => NONE;

export const boolean: Schema = scalar("true or false", (value) => typeof value === "boolean");

/** An integer from `min` to `max`. */
export function integer(min: number, max: number): Schema {
  return scalar(
    `an integer from ${min} to ${max}`,
    (value) => Number.isInteger(value) && (value as number) >= min && (value as number) <= max,
  );
}

/** A text; `what` describes the texts that `accept` takes. */
export function text(
  what = "a text",
  accept: (value: string) => boolean = () => true,
): Schema {
  return (value) => {
    if (typeof value === "string" && accept(value)) return NONE;
    const quotes = typeof value === "number" || typeof value === "boolean"
      ? `; write it in quotes: "${value}"`
      : "";
    return fault(`is ${describe(value)}, and must be ${what}${quotes}`);
  };
}

/** One of some texts. */
export function oneOf(...values: string[]): Schema {
  return (value) => {
    if (typeof value === "string" && values.includes(value)) return NONE;
    const hint = typeof value === "string" ? didYouMean(value, values) : "";
    return fault(`is ${describe(value)}, and must be one of ${values.join(", ")}${hint}`);
  };
}

/** An integer for which `ifNumber` speaks, or a text for which `ifText` does. */
export function numberOrText(ifNumber: Schema, ifText: Schema): Schema {
  return (value) => (typeof value === "number" ? ifNumber : ifText)(value);
}

/** A list with items of one form. */
export function list(item: Schema): Schema {
  return (value) => {
    if (!Array.isArray(value)) return fault(`is ${describe(value)}, and must be a list`);
    const faults = value.flatMap((child, i) => within(i, item(child)));
    return faults.length > 0 ? faults : NONE;
  };
}

/** A map from any text that `key` takes to values of one form. */
export function record(value: Schema, key: Schema = text()): Schema {
  return (given) => {
    if (!isRecord(given)) return fault(`is ${describe(given)}, and must be a map`);
    const faults: Fault[] = [];
    for (const [name, child] of Object.entries(given)) {
      const ofKey = key(name).map((fault): Fault => ({ ...fault, about: "key" }));
      faults.push(...within(name, ofKey), ...within(name, value(child)));
    }
    return faults;
  };
}

/** Options for {@linkcode object}. */
export interface ObjectOptions {
  /** Fields that must be there. */
  required?: readonly string[];
  /** Fields that are known and not looked at. */
  unused?: readonly string[];
  /**
   * Whether fields that are not known are let be.
   *
   * @default {false}
   */
  open?: boolean;
}

/** A map with the named fields. */
export function object(fields: Record<string, Schema>, options: ObjectOptions = {}): Schema {
  const { required = [], unused = [], open = false } = options;
  const known = [...Object.keys(fields), ...unused];
  return (given) => {
    if (!isRecord(given)) return fault(`is ${describe(given)}, and must be a map`);
    const faults: Fault[] = [];
    for (const [name, value] of Object.entries(given)) {
      const schema = Object.hasOwn(fields, name) ? fields[name] : undefined;
      if (schema) {
        if (value !== null) faults.push(...within(name, schema(value)));
      } else if (!open && !unused.includes(name)) {
        const message = `is not a field known here${didYouMean(name, known)}`;
        faults.push({ path: [name], about: "field", message });
      }
    }
    for (const name of required) {
      if (Object.hasOwn(given, name) && given[name] !== null) continue;
      faults.push({ path: [name], about: "missing", message: "is missing, and must be there" });
    }
    return faults;
  };
}

/**
 * `schema`, and what one field alone cannot tell: `check` looks at the value when the schema had
 * nothing to report, and returns what is wrong.
 */
export function refine<Value>(
  schema: Schema,
  check: (value: Value) => string | undefined,
): Schema {
  return (value) => {
    const faults = schema(value);
    if (faults.length > 0) return faults;
    const message = check(value as Value);
    return message === undefined ? NONE : fault(message);
  };
}
