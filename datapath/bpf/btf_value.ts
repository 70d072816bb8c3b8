/** Values by their type in BTF: numbers, texts, lists and objects from bytes, and back. */

import type { Btf } from "./btf.ts";
import type { BtfMember, BtfStruct } from "./btf_types.ts";
import type { Codec } from "./codec.ts";

/**
 * A value of C: integers of at most 32 bits and enums as number, of 64 bits and pointers as bigint, bool,
 * float and double as number, arrays of char as text up to the first NUL, other arrays as lists, structs
 * and unions as objects by member (what has no name lies in its parent's).
 */
export type BtfValue =
  | number
  | bigint
  | boolean
  | string
  | BtfValue[]
  | { [member: string]: BtfValue };

const decoder = new TextDecoder(), encoder = new TextEncoder();

/** A codec for values of the type, in the host's order. Throws RangeError for a type without a size. */
export function btfCodec(btf: Btf, type: number): Codec<BtfValue> {
  const size = btf.sizeOf(type);
  if (size === 0) throw new RangeError(`Values of ${nameOf(btf, type)} have no bytes`);
  return {
    size,
    decode: (view, offset) => readValue(btf, type, view, offset),
    encode: (view, offset, value) => writeValue(btf, type, view, offset, value),
  };
}

/** The value of that type at `offset`. */
export function readValue(btf: Btf, id: number, view: DataView, offset: number): BtfValue {
  const type = btf.resolve(id);
  switch (type.kind) {
    case "int":
    case "enum": {
      const bytes = readInteger(view, offset, type.size, type.signed);
      return type.kind === "int" && type.bool ? bytes !== 0n : small(bytes, type.size);
    }
    case "ptr":
      return view.getBigUint64(offset, true);
    case "float":
      return type.size === 4 ? view.getFloat32(offset, true) : view.getFloat64(offset, true);
    case "array": {
      if (isText(btf, type.type)) {
        const bytes = new Uint8Array(view.buffer, view.byteOffset + offset, type.length);
        const end = bytes.indexOf(0);
        return decoder.decode(bytes.slice(0, end < 0 ? bytes.length : end));
      }
      const step = btf.sizeOf(type.type);
      return Array.from(
        { length: type.length },
        (_, i) => readValue(btf, type.type, view, offset + i * step),
      );
    }
    case "struct":
    case "union": {
      const value: { [member: string]: BtfValue } = {};
      for (const member of type.members) {
        const part = readMember(btf, member, view, offset);
        if (member.name) value[member.name] = part;
        else Object.assign(value, part);
      }
      return value;
    }
    default:
      throw new RangeError(`A ${type.kind} is no value`);
  }
}

/**
 * Writes the value at `offset`. Members that are not named stay as they are. Throws RangeError for what
 * does not fit, TypeError for a value of another kind.
 */
export function writeValue(
  btf: Btf,
  id: number,
  view: DataView,
  offset: number,
  value: BtfValue,
): void {
  const type = btf.resolve(id);
  const wrong = (wanted: string) =>
    new TypeError(`A value of ${nameOf(btf, id)} is ${wanted}, not ${describe(value)}`);
  switch (type.kind) {
    case "int":
    case "enum":
    case "ptr": {
      if (!["number", "bigint", "boolean"].includes(typeof value)) throw wrong("a number");
      const signed = (type.kind === "int" || type.kind === "enum") && type.signed;
      const size = btf.sizeOf(id);
      writeInteger(view, offset, 8 * size, 0, signed, integer(value, wrong), nameOf(btf, id));
      return;
    }
    case "float":
      if (typeof value !== "number") throw wrong("a number");
      if (type.size === 4) view.setFloat32(offset, value, true);
      else view.setFloat64(offset, value, true);
      return;
    case "array": {
      const step = btf.sizeOf(type.type);
      if (typeof value === "string" && isText(btf, type.type)) {
        const bytes = encoder.encode(value);
        if (bytes.length >= type.length) {
          throw new RangeError(`The text has ${bytes.length} bytes, and ${type.length - 1} fit`);
        }
        const target = new Uint8Array(view.buffer, view.byteOffset + offset, type.length);
        target.fill(0);
        target.set(bytes);
        return;
      }
      const list = value instanceof Uint8Array ? [...value as Uint8Array] : value;
      if (!Array.isArray(list)) throw wrong("a list");
      if (list.length !== type.length) {
        throw new RangeError(`The list has ${list.length} values, and the array ${type.length}`);
      }
      list.forEach((one, i) => writeValue(btf, type.type, view, offset + i * step, one));
      return;
    }
    case "struct":
    case "union":
      if (typeof value !== "object" || Array.isArray(value)) throw wrong("an object");
      writeMembers(btf, type, view, offset, value);
      return;
    default:
      throw new RangeError(`A ${type.kind} is no value`);
  }
}

function writeMembers(
  btf: Btf,
  type: BtfStruct,
  view: DataView,
  offset: number,
  value: { [member: string]: BtfValue },
): void {
  const members = namedMembers(btf, type);
  for (const [name, part] of Object.entries(value)) {
    const member = members.get(name);
    if (!member) {
      throw new RangeError(
        `${type.name || `A ${type.kind}`} has no member ${name}; it has ${
          [...members.keys()].join(", ")
        }`,
      );
    }
    const { type: id, bitOffset, bitSize } = member;
    if (bitSize === 0) {
      writeValue(btf, id, view, offset + bitOffset / 8, part);
      continue;
    }
    const wrong = () => new TypeError(`Member ${name} is a number, not ${describe(part)}`);
    const integral = btf.resolve(id) as { signed?: boolean };
    const number = integer(part, wrong);
    writeInteger(view, offset, bitSize, bitOffset, integral.signed ?? false, number, name);
  }
}

/** Members by name, those of members without one among them. */
function namedMembers(btf: Btf, type: BtfStruct, base = 0): Map<string, BtfMember> {
  const members = new Map<string, BtfMember>();
  for (const member of type.members) {
    const at = { ...member, bitOffset: base + member.bitOffset };
    if (member.name) {
      members.set(member.name, at);
      continue;
    }
    const inner = btf.resolve(member.type) as BtfStruct;
    for (const [name, one] of namedMembers(btf, inner, at.bitOffset)) members.set(name, one);
  }
  return members;
}

function readMember(btf: Btf, member: BtfMember, view: DataView, offset: number): BtfValue {
  const { type: id, bitOffset, bitSize } = member;
  if (bitSize === 0) return readValue(btf, id, view, offset + bitOffset / 8);
  const type = btf.resolve(id);
  let bits = 0n;
  for (let i = bitSize - 1; i >= 0; i--) {
    const at = bitOffset + i;
    bits = bits << 1n | BigInt(view.getUint8(offset + (at >> 3)) >> (at & 7) & 1);
  }
  const signed = (type.kind === "int" || type.kind === "enum") && type.signed;
  const value = signed ? BigInt.asIntN(bitSize, bits) : bits;
  return type.kind === "int" && type.bool ? value !== 0n : small(value, btf.sizeOf(id));
}

function readInteger(view: DataView, offset: number, size: number, signed: boolean): bigint {
  let bytes = 0n;
  for (let i = size - 1; i >= 0; i--) bytes = bytes << 8n | BigInt(view.getUint8(offset + i));
  return signed ? BigInt.asIntN(8 * size, bytes) : bytes;
}

/** Writes so many bits from the bit `at` after `offset` on. */
function writeInteger(
  view: DataView,
  offset: number,
  bits: number,
  at: number,
  signed: boolean,
  value: bigint,
  what: string,
): void {
  const stored = BigInt.asUintN(bits, value);
  if ((signed ? BigInt.asIntN(bits, stored) : stored) !== value) {
    const kind = signed ? "a signed" : "an unsigned";
    throw new RangeError(`${what} is ${kind} ${bits}-bit number, and ${value} does not fit`);
  }
  if (at % 8 === 0 && bits % 8 === 0) {
    for (let i = 0; i < bits / 8; i++) {
      view.setUint8(offset + at / 8 + i, Number(stored >> BigInt(8 * i) & 0xffn));
    }
    return;
  }
  for (let i = 0; i < bits; i++) {
    const byte = offset + (at + i >> 3), bit = 1 << (at + i & 7);
    const set = (stored >> BigInt(i) & 1n) !== 0n;
    view.setUint8(byte, set ? view.getUint8(byte) | bit : view.getUint8(byte) & ~bit);
  }
}

function integer(value: BtfValue, wrong: (wanted: string) => TypeError): bigint {
  if (typeof value === "bigint") return value;
  if (typeof value === "boolean") return value ? 1n : 0n;
  if (typeof value === "number" && Number.isSafeInteger(value)) return BigInt(value);
  throw wrong("a whole number");
}

const small = (value: bigint, size: number) => size <= 4 ? Number(value) : value;

/** Whether elements of that type make a text: `char`. */
function isText(btf: Btf, id: number): boolean {
  const type = btf.resolve(id);
  return type.kind === "int" && type.name === "char";
}

function nameOf(btf: Btf, id: number): string {
  const { name, kind } = btf.type(id);
  return name || `a ${kind}`;
}

function describe(value: BtfValue): string {
  return Array.isArray(value) ? "a list" : `a ${typeof value}`;
}
