/** The content of a map as a short text, for telling whether it has changed. */

import { isZero } from "./ffi/libc.ts";
import { MapType } from "./constants.ts";
import type { BpfMap } from "./map.ts";

// of FNV-1a, 32 bits
const SEED = 0x811c9dc5;
const PRIME = 0x01000193;

/**
 * A text that is another one, as good as surely, when the content is. The order of the entries does
 * not count, nor do elements of an array that are zero. Costs no memory to speak of.
 *
 * @param valueBytes so many bytes of each value count; what follows programs may write
 */
export function mapFingerprint(map: BpfMap, valueBytes: number = map.storedValueSize): string {
  const { keySize, storedValueSize } = map;
  const array = map.type === MapType.ARRAY;
  let first = 0, second = 0;
  for (const { keys, values, count } of map.batches()) {
    if (array && isZero(values.subarray(0, count * storedValueSize))) continue;
    for (let i = 0; i < count; i++) {
      const at = i * storedValueSize;
      if (array && zeros(values, at, valueBytes)) continue;
      const key = hash(SEED, keys, i * keySize, keySize);
      const entry = hash(key, values, at, valueBytes);
      first = (first + entry) | 0;
      second = (second + Math.imul(entry ^ (entry >>> 15), PRIME)) | 0;
    }
  }
  return `${first},${second}`;
}

function zeros(bytes: Uint8Array, from: number, length: number): boolean {
  let at = from;
  while (at < from + length && bytes[at] === 0) at++;
  return at === from + length;
}

/** FNV-1a over `length` bytes from `at`, four at a time. */
function hash(seed: number, bytes: Uint8Array, at: number, length: number): number {
  let state = seed, i = at;
  for (const last = at + length - 3; i < last; i += 4) {
    const word = bytes[i]! | bytes[i + 1]! << 8 | bytes[i + 2]! << 16 | bytes[i + 3]! << 24;
    state = Math.imul(state ^ word, PRIME);
    state ^= state >>> 15; // a multiplication carries nothing downwards
  }
  for (; i < at + length; i++) state = Math.imul(state ^ bytes[i]!, PRIME);
  return state;
}
