/** How types of C look in generated TypeScript. */

import type { Btf } from "../btf.ts";

/** How one C type looks in TypeScript; `at` is an expression of the offset. */
export interface Shape {
  type: string;
  /** The name of its codec, where it has one. */
  codec?: string;
  size: number;
  read: (at: string) => string;
  write: (at: string, value: string) => string;
}

export function integer(size: number, signed: boolean, bigEndian: boolean): Shape {
  const method = size === 8
    ? signed ? "BigInt64" : "BigUint64"
    : `${signed ? "Int" : "Uint"}${size * 8}`;
  const order = size === 1 ? "" : `, ${!bigEndian}`;
  return {
    type: size === 8 ? "bigint" : "number",
    size,
    read: (at) => `view.get${method}(${at}${order})`,
    write: (at, value) => `view.set${method}(${at}, ${value}${order});`,
  };
}

export function float(size: number): Shape {
  const method = `Float${size * 8}`;
  return {
    type: "number",
    size,
    read: (at) => `view.get${method}(${at}, true)`,
    write: (at, value) => `view.set${method}(${at}, ${value}, true);`,
  };
}

export function boolean(): Shape {
  return {
    type: "boolean",
    size: 1,
    read: (at) => `view.getUint8(${at}) !== 0`,
    write: (at, value) => `view.setUint8(${at}, ${value} ? 1 : 0);`,
  };
}

/** Whether the type is one of network order by its name. */
export function bigEndian(btf: Btf, id: number): boolean {
  for (let type = btf.type(id);;) {
    if (type.kind !== "typedef" && type.kind !== "const" && type.kind !== "volatile") return false;
    if (/^__be(16|32|64)$/.test(type.name)) return true;
    type = btf.type(type.type);
  }
}

/** The texts in the order of their names. */
export function sorted(table: Map<string, string>): string[] {
  return [...table].sort(([a], [b]) => a < b ? -1 : 1).map(([, text]) => text);
}

/** The expression of an offset, so much larger. */
export function plus(base: string, offset: number): string {
  if (offset === 0) return base;
  const match = /^(.*) \+ (\d+)$/.exec(base);
  return match ? `${match[1]} + ${Number(match[2]) + offset}` : `${base} + ${offset}`;
}

export function camel(name: string): string {
  return name.replace(/_+([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

export function pascal(name: string): string {
  return camel(`_${name}`);
}

/** What all names begin with, up to the first `_`. */
export function commonPrefix(names: string[]): string {
  let prefix = names[0]!.slice(0, names[0]!.indexOf("_") + 1);
  if (!names.every((name) => name.startsWith(prefix))) prefix = "";
  return prefix;
}
