/**
 * Opens, reads and loads objects with wrong bytes, numbered; says each number before it begins.
 * Usage: mutated.ts FROM TO [FILE: write the first there instead]
 */

import { KernelError } from "../kernel_error.ts";
import { BpfObject } from "../object.ts";
import { compile } from "./build.ts";

const [from = 0, to = 0] = Deno.args.map(Number);
const target = Deno.args[2];
const originals = ["sample", "variables", "hooks", "plain"].map((name) => compile(name));

/** Numbers from 0 to `limit` - 1, the same for the same seed (mulberry32). */
function randomNumbers(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
  };
}

function mutated(number: number): Uint8Array<ArrayBuffer> {
  const random = randomNumbers(number);
  let bytes = originals[number % originals.length]!.slice();
  for (let changes = 1 + random(8); changes > 0; changes--) {
    const at = random(bytes.length);
    switch (random(6)) {
      case 0:
        bytes[at] = random(256);
        break;
      case 1:
        bytes[at]! ^= 1 << random(8);
        break;
      case 2: // a number of 32 bits at its limits
        new DataView(bytes.buffer).setUint32(
          Math.min(at & ~3, bytes.length - 4),
          [0, 1, 0x7fffffff, 0xffffffff, 0x80000000][random(5)]!,
          true,
        );
        break;
      case 3: // of the section headers, which are last
        bytes[bytes.length - 1 - random(Math.min(1500, bytes.length))] = random(256);
        break;
      case 4:
        bytes.copyWithin(at, random(bytes.length), random(bytes.length));
        break;
      case 5:
        if (random(8) === 0) bytes = bytes.slice(0, at);
        break;
    }
    if (bytes.length < 4) break;
  }
  return bytes;
}

/** What errors there may be. */
function expected(error: unknown): boolean {
  return error instanceof KernelError || error instanceof RangeError ||
    error instanceof TypeError || error instanceof SyntaxError;
}

function tried<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (expected(error)) return undefined;
    throw error;
  }
}

function use(file: Uint8Array): void {
  using object = tried(() => BpfObject.open(file));
  if (!object) return;
  tried(() => object.btf.maps());
  for (const name of tried(() => object.variableNames) ?? []) {
    tried(() => {
      const variable = object.variable(name);
      variable.set(variable.get());
    });
  }
  let room = 0;
  for (const name of object.mapNames) {
    const { maxEntries, keySize, valueSize, type } = object.mapLayout(name);
    if (maxEntries > 1024 && type !== 27) tried(() => object.setMaxEntries(name, 1024));
    room += Math.min(maxEntries, type === 27 ? maxEntries : 1024) * (keySize + valueSize + 64);
  }
  if (room > 64 << 20 || !tried(() => object.load())) return;
  for (const name of object.mapNames) {
    tried(() => {
      using map = object.map(name);
      map.clear();
    });
  }
}

if (target !== undefined) {
  Deno.writeFileSync(target, mutated(from));
} else {
  const encoder = new TextEncoder();
  for (let number = from; number < to; number++) {
    Deno.stdout.writeSync(encoder.encode(`${number}\n`));
    use(mutated(number));
  }
}
