/** Short byte arrays, of which there are very many: one with a buffer of its own takes ten times as long to make. */

/** Bytes that are allocated at once. */
const SLAB = 4096;

let slab = new Uint8Array(0);
let used = 0;

/** So many zeros, part of a larger buffer. */
export function smallBytes(size: number): Uint8Array<ArrayBuffer> {
  if (used + size > slab.length) {
    slab = new Uint8Array(Math.max(size, SLAB));
    used = 0;
  }
  return slab.subarray(used, used += size);
}
