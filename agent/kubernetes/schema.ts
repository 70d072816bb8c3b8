/**
 * Checks of plain values, as YAML and JSON give them, from which the values' types follow. A fault has
 * the way to its field.
 */

import { didYouMean } from "../core/nearest.ts";

/** A field's name, or an index of a list. */
export type Step = string | number;

/** What is wrong with a value, or with the key that leads to it, or that it is missing. */
export interface Fault {
  path: readonly Step[];
  about: "value" | "field" | "key" | "missing";
  message: string;
  /** Of a value that quotes would make a text: that, as it is written best. */
  unquoted?: string;
}

declare const TYPE: unique symbol;

/** Finds everything that is wrong with a value. What it finds nothing wrong with is a `Type`. */
export interface Schema<Type = unknown> {
  (value: unknown): readonly Fault[];
  readonly [TYPE]?: Type;
}

/** The type of the values that a schema takes. */
export type Infer<Of> = Of extends Schema<infer Type> ? Type : never;

const NONE: readonly Fault[] = [];

/** A value's schema looks no further when it has found so many faults. */
export const MAX_FAULTS = 20;

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

function fault(message: string, more: Pick<Fault, "unquoted"> = {}): readonly Fault[] {
  return [{ path: [], about: "value", message, ...more }];
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

function scalar<Type>(
  what: string,
  accept: (value: unknown) => boolean,
  fix = "",
): Schema<Type> {
  return (value) =>
    accept(value) ? NONE : fault(`is ${describe(value)}, and must be ${what}${fix}`);
}

/** Anything at all: a field that pilus knows and does not use. */
export const anything: Schema = () => NONE;

export const boolean: Schema<boolean> = scalar(
  "true or false",
  (value) => typeof value === "boolean",
);

/** An integer from `min` to `max`. */
export function integer(min: number, max: number): Schema<number> {
  return scalar(
    `an integer from ${min} to ${max}`,
    (value) => Number.isInteger(value) && (value as number) >= min && (value as number) <= max,
  );
}

/** The API takes an empty text for a field that is not there: {@linkcode withoutUnset} leaves it out. */
export function orUnset<Type>(schema: Schema<Type>): Schema<Type> {
  return (value) => value === "" ? NONE : schema(value);
}

/** So many of the last texts that were right are remembered: most are said very often. */
const REMEMBERED = 1024;

/** A text; `what` describes the texts that `accept` takes. */
export function text(
  what = "a text",
  accept?: (value: string) => boolean,
): Schema<string> {
  const known = new Set<string>();
  return (value) => {
    if (typeof value === "string") {
      if (accept === undefined || known.has(value)) return NONE;
      if (accept(value)) {
        if (known.size >= REMEMBERED) known.clear();
        known.add(value);
        return NONE;
      }
    }
    const isOther = typeof value === "number" || typeof value === "boolean";
    return fault(
      `is ${describe(value)}, and must be ${what}`,
      isOther ? { unquoted: `${value}` } : {},
    );
  };
}

/** One of some texts. */
export function oneOf<const Text extends string>(...values: Text[]): Schema<Text> {
  return (value) => {
    if (typeof value === "string" && (values as string[]).includes(value)) return NONE;
    const hint = typeof value === "string" ? didYouMean(value, values) : "";
    return fault(`is ${describe(value)}, and must be one of ${values.join(", ")}${hint}`);
  };
}

/** An integer for which `ifNumber` speaks, or a text for which `ifText` does. */
export function numberOrText(
  ifNumber: Schema<number>,
  ifText: Schema<string>,
): Schema<number | string> {
  return (value) => (typeof value === "number" ? ifNumber : ifText)(value);
}

/** What a schema is made of; one without is of plain values, or of maps of those. */
export type Shape =
  | { item: Schema }
  | { fields: Fields; unused: readonly string[]; open: boolean };

const shapes = new WeakMap<Schema, Shape>();

/** Of a list or an object. */
export function shapeOf(schema: Schema): Shape | undefined {
  return shapes.get(schema);
}

function shaped<Type>(shape: Shape | undefined, schema: Schema<Type>): Schema<Type> {
  if (shape) shapes.set(schema, shape);
  return schema;
}

/** A list with items of one form. */
export function list<Item>(item: Schema<Item>): Schema<Item[]> {
  return shaped({ item }, (value) => {
    if (!Array.isArray(value)) return fault(`is ${describe(value)}, and must be a list`);
    let faults = NONE;
    for (let i = 0; i < value.length && faults.length < MAX_FAULTS; i++) {
      const found = item(value[i]);
      if (found.length > 0) faults = [...faults, ...within(i, found)];
    }
    return faults;
  });
}

/** A map from any text that `key` takes to values of one form. */
export function record<Value>(
  value: Schema<Value>,
  key: Schema<string> = text(),
): Schema<Record<string, Value>> {
  return (given) => {
    if (!isRecord(given)) return fault(`is ${describe(given)}, and must be a map`);
    let faults = NONE;
    for (const name of Object.keys(given)) {
      if (faults.length >= MAX_FAULTS) break;
      const ofKey = key(name);
      const ofValue = value(given[name]);
      if (ofKey.length + ofValue.length === 0) continue;
      const keyFaults = ofKey.map((fault): Fault => ({ ...fault, about: "key" }));
      faults = [...faults, ...within(name, keyFaults), ...within(name, ofValue)];
    }
    return faults;
  };
}

/** Schemas by the names of fields. */
export type Fields = Readonly<Record<string, Schema>>;

/** An object with those fields, of which some are required. */
export type ObjectOf<Of extends Fields, Required extends PropertyKey = never> = Flat<
  & { [Name in Extract<keyof Of, Required>]: Infer<Of[Name]> }
  & { [Name in Exclude<keyof Of, Required>]?: Infer<Of[Name]> }
>;

type Flat<Type> = { [Name in keyof Type]: Type[Name] };

/** Options for {@linkcode object}. */
export interface ObjectOptions<Required extends string> {
  /** Fields that must be there. */
  required?: readonly Required[];
  /** Fields that are known and not looked at. */
  unused?: readonly string[];
  /**
   * Whether fields that are not known are let be.
   *
   * @default {false}
   */
  open?: boolean;
}

/** A map with the named fields. An optional one may be null: it counts as missing. */
export function object<Of extends Fields, Required extends string = never>(
  fields: Of,
  options: ObjectOptions<Required> = {},
): Schema<ObjectOf<Of, Required>> {
  const { required = [], unused = [], open = false } = options;
  const schemas = new Map(Object.entries(fields));
  const passed = new Set(unused);
  const known = [...schemas.keys(), ...unused];
  return shaped({ fields, unused, open }, (given) => {
    if (!isRecord(given)) return fault(`is ${describe(given)}, and must be a map`);
    let faults = NONE;
    for (const name of Object.keys(given)) {
      if (faults.length >= MAX_FAULTS) break;
      const schema = schemas.get(name);
      if (schema) {
        const found = given[name] === null ? NONE : schema(given[name]);
        if (found.length > 0) faults = [...faults, ...within(name, found)];
      } else if (!open && !passed.has(name)) {
        const message = `is not a field known here${didYouMean(name, known)}`;
        faults = [...faults, { path: [name], about: "field", message }];
      }
    }
    for (const name of required) {
      if (Object.hasOwn(given, name) && given[name] !== null) continue;
      const message = "is missing, and must be there";
      faults = [...faults, { path: [name], about: "missing", message }];
    }
    return faults;
  });
}

/** An object without fields that are null; anything else as it is. */
function withoutNulls(value: unknown): unknown {
  if (!isRecord(value) || !Object.values(value).includes(null)) return value;
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== null));
}

/**
 * `schema`, and what one field alone cannot tell: `check` looks at the value when the schema had
 * nothing to report, and returns what is wrong.
 */
export function refine<Type>(
  schema: Schema<Type>,
  check: (value: Type) => string | undefined,
): Schema<Type> {
  return shaped(shapeOf(schema), (value) => {
    const faults = schema(value);
    if (faults.length > 0) return faults;
    const message = check(withoutNulls(value) as Type);
    return message === undefined ? NONE : fault(message);
  });
}
