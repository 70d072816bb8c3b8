/** C strings outside the heap, for kernel structures that hold their addresses. */

import { cstring, NativeMemory } from "../../ffi/memory.ts";

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
