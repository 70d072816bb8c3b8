/**
 * Checks of YAML nodes, so that what is wrong is reported with its line and the way to the field.
 * An optional field whose value is null counts as missing.
 */

import { closestString } from "@std/text/closest-string";
import { type Document, isAlias, isMap, isScalar, isSeq, type Node } from "yaml";

/** What a check works with. */
export interface CheckContext {
  document: Document;
  /** `path` is like `spec.ingress[0].ports[1].port`. */
  report(node: Node | undefined, path: string, message: string): void;
}

/** Reports everything that is wrong with the node. */
export type Schema = (node: Node | undefined, path: string, context: CheckContext) => void;

function resolved(node: Node | undefined, context: CheckContext): Node | undefined {
  return isAlias(node) ? node.resolve(context.document) : node;
}

function isNull(node: Node | undefined): boolean {
  return node === undefined || (isScalar(node) && node.value === null);
}

function describe(node: Node | undefined): string {
  if (isMap(node)) return "a map";
  if (isSeq(node)) return "a list";
  if (!isScalar(node) || node.value === null) return "empty";
  return `the ${typeof node.value} ${JSON.stringify(node.value)}`;
}

function join(path: string, field: string): string {
  if (path === "") return field;
  return /^[A-Za-z_$][\w$-]*$/.test(field) ? `${path}.${field}` : `${path}[${field}]`;
}

function scalar(what: string, accept: (value: unknown) => boolean, fix = ""): Schema {
  return (given, path, context) => {
    const node = resolved(given, context);
    if (isScalar(node) && accept(node.value)) return;
    context.report(given, path, `is ${describe(node)}, and must be ${what}${fix}`);
  };
}

/** Anything at all: a field that pilus knows and does not use. */
export const anything: Schema = () => {};

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
  return (given, path, context) => {
    const node = resolved(given, context);
    const value = isScalar(node) ? node.value : undefined;
    if (typeof value === "number" || typeof value === "boolean") {
      const fix = `write it in quotes: "${value}"`;
      context.report(given, path, `is ${describe(node)}, and must be ${what}; ${fix}`);
    } else if (typeof value !== "string" || !accept(value)) {
      context.report(given, path, `is ${describe(node)}, and must be ${what}`);
    }
  };
}

/** One of some texts. */
export function oneOf(...values: string[]): Schema {
  return (given, path, context) => {
    const node = resolved(given, context);
    const value = isScalar(node) ? node.value : undefined;
    if (typeof value === "string" && values.includes(value)) return;
    const hint = typeof value === "string"
      ? `; did you mean ${closestString(value, values, { caseSensitive: false })}?`
      : "";
    context.report(
      given,
      path,
      `is ${describe(node)}, and must be one of ${values.join(", ")}${hint}`,
    );
  };
}

/** An integer for which `ifNumber` speaks, or a text for which `ifText` does. */
export function numberOrText(ifNumber: Schema, ifText: Schema): Schema {
  return (given, path, context) => {
    const node = resolved(given, context);
    const isNumber = isScalar(node) && typeof node.value === "number";
    (isNumber ? ifNumber : ifText)(given, path, context);
  };
}

/** A list with items of one form. */
export function list(item: Schema): Schema {
  return (given, path, context) => {
    const node = resolved(given, context);
    if (!isSeq(node)) {
      context.report(given, path, `is ${describe(node)}, and must be a list`);
      return;
    }
    for (const [i, child] of node.items.entries()) {
      item(child as Node | undefined, `${path}[${i}]`, context);
    }
  };
}

/** A map from any text that `key` takes to values of one form. */
export function record(value: Schema, key: Schema = text()): Schema {
  return (given, path, context) => {
    const node = resolved(given, context);
    if (!isMap(node)) {
      context.report(given, path, `is ${describe(node)}, and must be a map`);
      return;
    }
    for (const pair of node.items) {
      key(pair.key as Node, `key of ${path}`, context);
      const name = isScalar(pair.key) ? String(pair.key.value) : "?";
      value(pair.value as Node | undefined, join(path, name), context);
    }
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
  return (given, path, context) => {
    const node = resolved(given, context);
    if (!isMap(node)) {
      context.report(given, path, `is ${describe(node)}, and must be a map`);
      return;
    }
    const seen = new Set<string>();
    for (const pair of node.items) {
      const name = isScalar(pair.key) ? String(pair.key.value) : "?";
      const value = pair.value as Node | undefined;
      const schema = Object.hasOwn(fields, name) ? fields[name] : undefined;
      if (schema) {
        if (isNull(value) || value === null) continue;
        seen.add(name);
        schema(value, join(path, name), context);
      } else if (!open && !unused.includes(name)) {
        const hint = `did you mean ${closestString(name, known)}?`;
        context.report(pair.key as Node, join(path, name), `is not a field known here; ${hint}`);
      }
    }
    for (const name of required) {
      if (seen.has(name)) continue;
      context.report(given, join(path, name), "is missing, and must be there");
    }
  };
}

/**
 * `schema`, and what one field alone cannot tell: `check` looks at the plain value when the schema
 * had nothing to report, and returns what is wrong.
 */
export function refine<Value>(
  schema: Schema,
  check: (value: Value) => string | undefined,
): Schema {
  return (given, path, context) => {
    let failed = false;
    schema(given, path, {
      document: context.document,
      report(node, at, message) {
        failed = true;
        context.report(node, at, message);
      },
    });
    const node = resolved(given, context);
    if (failed || !node) return;
    const message = check(node.toJS(context.document) as Value);
    if (message !== undefined) context.report(given, path, message);
  };
}
