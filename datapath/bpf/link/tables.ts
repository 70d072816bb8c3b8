/** C strings and numbers outside the heap, for kernel structures that hold their addresses. */

import { cstring, NativeMemory } from "../ffi/memory.ts";

/** Strings one after the other, valid until disposed of. */
export interface StringTable extends Disposable {
  /** Of each string. */
  addresses: readonly bigint[];
}

export function stringTable(texts: readonly string[]): StringTable {
  const parts = texts.map(cstring);
  const memory = new NativeMemory(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  const addresses = parts.map((part) => {
    memory.bytes.set(part, at);
    at += part.length;
    return memory.address + BigInt(at - part.length);
  });
  return { addresses, [Symbol.dispose]: () => memory[Symbol.dispose]() };
}

/** Numbers of 64 bits one after the other, valid until disposed of. */
export function numberTable(values: readonly bigint[]): NativeMemory {
  const memory = new NativeMemory(8 * values.length);
  values.forEach((value, i) => memory.view.setBigUint64(8 * i, value, true));
  return memory;
}

/** Throws RangeError where no function is named, or there is not a cookie for each. */
export function checkFunctions(symbols: readonly string[], cookies?: readonly bigint[]): void {
  if (symbols.length === 0) throw new RangeError("No function is named");
  if (cookies && cookies.length !== symbols.length) {
    throw new RangeError(`${symbols.length} functions have ${cookies.length} cookies`);
  }
}
