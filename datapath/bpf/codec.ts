/** How a value of a map lies in memory. */

import { smallBytes } from "./small_bytes.ts";

/** Fixed-size encoding of `T`. `view` may be larger than the value; `offset` is where it begins. */
export interface Codec<T> {
  /** Bytes, padding included. */
  readonly size: number;
  /** Writes the value. Throws RangeError when it does not fit. */
  encode(view: DataView, offset: number, value: T): void;
  /** Reads a value; what it gives is the caller's own. */
  decode(view: DataView, offset: number): T;
}

/** A number of 8 bits. */
export const u8: Codec<number> = {
  size: 1,
  encode: (view, offset, value) => view.setUint8(offset, value),
  decode: (view, offset) => view.getUint8(offset),
};

/** A number of 16 bits in the host's order (little-endian on every machine that Deno runs on). */
export const u16: Codec<number> = {
  size: 2,
  encode: (view, offset, value) => view.setUint16(offset, value, true),
  decode: (view, offset) => view.getUint16(offset, true),
};

/** A number of 32 bits in the host's order. */
export const u32: Codec<number> = {
  size: 4,
  encode: (view, offset, value) => view.setUint32(offset, value, true),
  decode: (view, offset) => view.getUint32(offset, true),
};

/** A signed number of 32 bits in the host's order. */
export const i32: Codec<number> = {
  size: 4,
  encode: (view, offset, value) => view.setInt32(offset, value, true),
  decode: (view, offset) => view.getInt32(offset, true),
};

/** A number of 64 bits in the host's order. */
export const u64: Codec<bigint> = {
  size: 8,
  encode: (view, offset, value) => view.setBigUint64(offset, value, true),
  decode: (view, offset) => view.getBigUint64(offset, true),
};

/** Bytes of an address: there are very many of these. */
const SHORT = 16;

/** Copies `size` bytes from `offset`. */
export function readBytes(view: DataView, offset: number, size: number): Uint8Array<ArrayBuffer> {
  if (size > SHORT) {
    const copy = new Uint8Array(size);
    copy.set(new Uint8Array(view.buffer, view.byteOffset + offset, size));
    return copy;
  }
  const copy = smallBytes(size);
  for (let i = 0; i < size; i++) copy[i] = view.getUint8(offset + i);
  return copy;
}

/** Writes exactly `size` bytes at `offset`. Throws RangeError when `value` has another length. */
export function writeBytes(view: DataView, offset: number, size: number, value: Uint8Array): void {
  if (value.length !== size) {
    throw new RangeError(`Expected ${size} bytes, and ${value.length} were given`);
  }
  new Uint8Array(view.buffer, view.byteOffset + offset, size).set(value);
}

/** The `bits` bits (32 at most) from bit `bit` of the byte at `offset`. */
export function readBits(view: DataView, offset: number, bit: number, bits: number): number {
  let value = 0;
  for (let i = 0; i < bits; i++) {
    const at = bit + i;
    value += ((view.getUint8(offset + (at >>> 3)) >>> (at & 7)) & 1) * 2 ** i;
  }
  return value;
}

/** Writes a bitfield. Throws RangeError when `value` does not fit. */
export function writeBits(
  view: DataView,
  offset: number,
  bit: number,
  bits: number,
  value: number,
): void {
  if (!(value >= 0 && value < 2 ** bits)) {
    throw new RangeError(`Value ${value} does not fit into ${bits} bits`);
  }
  for (let i = 0; i < bits; i++) {
    const at = offset + ((bit + i) >>> 3), mask = 1 << ((bit + i) & 7);
    const set = Math.floor(value / 2 ** i) % 2 === 1;
    view.setUint8(at, set ? view.getUint8(at) | mask : view.getUint8(at) & ~mask);
  }
}

/**
 * A signed number of so many bits from what `readBits` gives; with `stored` the other way. Throws RangeError
 * when it does not fit.
 */
export function signedBits(value: number, bits: number, stored = false): number {
  const half = 2 ** (bits - 1);
  if (!stored) return value >= half ? value - 2 * half : value;
  if (value < -half || value >= half) {
    throw new RangeError(`Value ${value} does not fit into ${bits} signed bits`);
  }
  return value < 0 ? value + 2 * half : value;
}

const textDecoder = new TextDecoder(), textEncoder = new TextEncoder();

/** The text of a `char` array, up to its first NUL. */
export function readText(view: DataView, offset: number, size: number): string {
  const bytes = readBytes(view, offset, size), end = bytes.indexOf(0);
  return textDecoder.decode(end < 0 ? bytes : bytes.subarray(0, end));
}

/** Writes a text with a NUL behind it. Throws RangeError when it is too long. */
export function writeText(view: DataView, offset: number, size: number, value: string): void {
  const bytes = textEncoder.encode(value);
  if (bytes.length >= size) {
    throw new RangeError(`The text has ${bytes.length} bytes, and ${size - 1} fit`);
  }
  const target = new Uint8Array(view.buffer, view.byteOffset + offset, size);
  target.fill(0);
  target.set(bytes);
}

/** A `char` array of so many bytes as text. */
export function text(size: number): Codec<string> {
  return {
    size,
    encode: (view, offset, value) => writeText(view, offset, size, value),
    decode: (view, offset) => readText(view, offset, size),
  };
}

/** `size` bytes as they are; decode copies. */
export function bytes(size: number): Codec<Uint8Array> {
  return {
    size,
    encode: (view, offset, value) => writeBytes(view, offset, size, value),
    decode: (view, offset) => readBytes(view, offset, size),
  };
}

/** The value of a per-CPU map: one `T` for each possible CPU, each in a slot of a multiple of 8 bytes. */
export function perCpu<T>(codec: Codec<T>): Codec<T[]> {
  const slot = (codec.size + 7) & ~7;
  return {
    get size() {
      return slot * possibleCpus();
    },
    encode(view, offset, values) {
      const cpus = possibleCpus();
      if (values.length !== cpus) {
        throw new RangeError(`Expected ${cpus} values, one per possible CPU, got ${values.length}`);
      }
      values.forEach((value, cpu) => codec.encode(view, offset + cpu * slot, value));
    },
    decode: (view, offset) =>
      Array.from({ length: possibleCpus() }, (_, cpu) => codec.decode(view, offset + cpu * slot)),
  };
}

let cpus: number | undefined;

/** CPUs that the kernel may ever have: the number of values of a per-CPU map. */
export function possibleCpus(): number {
  return cpus ??= cpuCount(Deno.readTextFileSync("/sys/devices/system/cpu/possible"));
}

function cpuCount(ranges: string): number {
  return ranges.trim().split(",").reduce((total, range) => {
    const [first, last = first] = range.split("-").map(Number);
    return total + last! - first! + 1;
  }, 0);
}
