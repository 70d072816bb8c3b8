/** Values of an object's variables, as numbers or bytes. */

import type { BtfType } from "./btf_types.ts";

/** A value for a `volatile const` of the object: a number or bigint for integers, enums and bool; bytes for the rest. */
export type ConstantValue = number | bigint | boolean | Uint8Array;

/** Writes the value in the host's order. Throws RangeError when it does not fit. */
export function writeConstant(
  target: Uint8Array,
  name: string,
  value: ConstantValue,
  type: BtfType,
): void {
  if (value instanceof Uint8Array) {
    if (value.length !== target.length) {
      throw new RangeError(
        `Constant ${name} has ${target.length} bytes, and ${value.length} were given`,
      );
    }
    target.set(value);
    return;
  }
  if (type.kind !== "int" && type.kind !== "enum") {
    throw new RangeError(`Constant ${name} is a ${type.kind}: give its ${target.length} bytes`);
  }
  const bits = target.length * 8;
  const wanted = BigInt(value);
  const stored = BigInt.asUintN(bits, wanted);
  const back = type.signed ? BigInt.asIntN(bits, stored) : stored;
  if (back !== wanted) {
    throw new RangeError(
      `Constant ${name} is ${type.signed ? "a signed" : "an unsigned"} ${bits}-bit number, ` +
        `and ${value} does not fit`,
    );
  }
  for (let i = 0; i < target.length; i++) {
    target[i] = Number((stored >> BigInt(8 * i)) & 0xffn);
  }
}
