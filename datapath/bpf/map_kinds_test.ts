/** Kinds of maps that are more than keys and values. */

import { assertEquals, assertThrows } from "@std/assert";
import { KernelError } from "./kernel_error.ts";
import { MapFlag, MapType } from "./constants.ts";
import type { MapOptions } from "./create_map.ts";
import { BpfMap } from "./map.ts";
import { MapMemory } from "./map_memory.ts";
import { BpfObject } from "./object.ts";
import { compile } from "./testdata/build.ts";

const none = new Uint8Array(0);
const number = (value: number) => new Uint8Array(new Uint32Array([value]).buffer);
const make = (options: Partial<MapOptions>) =>
  BpfMap.create({
    ...{ name: "kind", type: MapType.HASH, keySize: 4, valueSize: 4, maxEntries: 4 },
    ...options,
  });

const arena: Partial<MapOptions> = {
  type: MapType.ARENA,
  keySize: 0,
  valueSize: 0,
  maxEntries: 16,
  flags: MapFlag.MMAPABLE,
};

/** Linux 6.9, on machines with a JIT for it. */
function hasArena(): boolean {
  try {
    make(arena)[Symbol.dispose]();
    return true;
  } catch {
    return false;
  }
}

for (const [name, order] of [["QUEUE", [1, 2, 3]], ["STACK", [3, 2, 1]]] as const) {
  Deno.test(`a ${name} gives its values one by one`, () => {
    using map = make({ type: MapType[name], keySize: 0 });
    for (const value of [1, 2, 3]) map.set(none, number(value));
    assertEquals(map.get(none), number(order[0]), "a look at the next one");
    assertEquals(order.map(() => map.take(none)), order.map(number));
    assertEquals(map.take(none), undefined);
  });
}

Deno.test("BpfMap.take() removes what it gives", () => {
  using map = make({});
  map.set(number(1), number(7));
  assertEquals(map.take(number(1)), number(7));
  assertEquals(map.take(number(1)), undefined);
});

Deno.test("a BLOOM_FILTER knows what was added", () => {
  using map = make({ type: MapType.BLOOM_FILTER, keySize: 0, maxEntries: 100, extra: 5n });
  for (let i = 0; i < 20; i++) map.set(none, number(i));
  for (let i = 0; i < 20; i++) assertEquals(map.get(none, number(i)), number(i));
  const strangers = Array.from({ length: 50 }, (_, i) => map.get(none, number(1000 + i)));
  assertEquals(strangers.filter((found) => found !== undefined).length < 25, true);
});

for (const type of ["ARRAY_OF_MAPS", "HASH_OF_MAPS"] as const) {
  Deno.test(`a ${type} made at run time holds maps`, () => {
    using inner = make({ name: "inner" });
    using outer = make({ type: MapType[type], inner });
    outer.setObject(number(1), inner);
    const id = new DataView(outer.get(number(1))!.buffer as ArrayBuffer).getUint32(0, true);
    assertEquals(id, inner.id);
    using found = BpfMap.byId(id);
    inner.set(number(5), number(6));
    assertEquals(found.get(number(5)), number(6));
    using other = make({ name: "other", valueSize: 8 });
    assertThrows(() => outer.setObject(number(2), other), KernelError, "EINVAL");
    outer.delete(number(1));
    assertEquals(outer.get(number(1)), undefined);
  });
}

Deno.test("a PROG_ARRAY holds programs", () => {
  using object = BpfObject.open(compile("sample")).load();
  using program = object.program("tc_verdict");
  using map = make({ type: MapType.PROG_ARRAY });
  map.setObject(number(0), program);
  const id = new DataView(map.get(number(0))!.buffer as ArrayBuffer).getUint32(0, true);
  assertEquals(id, program.id);
});

Deno.test("MapMemory is the memory of an array that can be mapped", () => {
  using map = make({ type: MapType.ARRAY, flags: MapFlag.MMAPABLE, maxEntries: 3000 });
  using memory = new MapMemory(map);
  assertEquals([memory.elementSize, memory.size], [8, 24_000]);
  memory.write(8 * 2999, number(7));
  assertEquals(map.get(number(2999)), number(7));
  map.set(number(1), number(8));
  assertEquals(memory.read(8, 4), number(8));
  for (const [offset, length] of [[24_000, 1], [-1, 1], [0, 24_001], [0.5, 1], [NaN, 1]] as const) {
    assertThrows(() => memory.read(offset, length), RangeError, "has 24000 bytes");
  }
  memory[Symbol.dispose]();
  memory[Symbol.dispose]();
  assertThrows(() => memory.read(0, 1), TypeError, "disposed");
  using other = make({ type: MapType.ARRAY });
  assertThrows(() => new MapMemory(other), TypeError, "with the flag MMAPABLE");
});

Deno.test({
  name: "MapMemory is the memory of an arena, page by page as it is used",
  ignore: !hasArena(),
  fn() {
    using map = make(arena);
    using memory = new MapMemory(map);
    assertEquals(memory.size, 16 * memory.elementSize);
    memory.write(memory.size - 4, number(7));
    assertEquals(memory.read(memory.size - 4, 4), number(7));
    assertEquals(memory.read(0, 4), number(0));
  },
});

Deno.test("BpfMap.freeze() ends writing", () => {
  using map = make({});
  map.set(number(1), number(1));
  map.freeze();
  assertThrows(() => map.set(number(1), number(2)), KernelError, "EPERM: it is frozen");
  assertEquals(map.get(number(1)), number(1));
});

Deno.test("the map of a section is found by the section's name", () => {
  using object = BpfObject.open(compile("sample"), { name: "sample" });
  object.setAutoload([]);
  object.load();
  using map = object.map(".rodata");
  using same = object.map("sample.rodata");
  assertEquals(map.id, same.id);
  assertThrows(() => object.map(".data"), RangeError, "has no map .data");
});

const refused: [what: string, options: Partial<MapOptions>, why: string][] = [
  ["a long name", { name: "sixteen_letters_" }, "at most 15"],
  ["a name with a blank", { name: "a b" }, "at most 15"],
  ["a ring that is no power of 2", ring(12288), "power of 2"],
  ["a ring that is no page", ring(2048), "power of 2"],
  ["a ring with keys", { ...ring(4096), keySize: 4 }, "0 bytes"],
  ["an LPM trie in advance", { type: MapType.LPM_TRIE, keySize: 8 }, "NO_PREALLOC"],
  ["an array with long keys", { type: MapType.ARRAY, keySize: 8 }, "4 bytes"],
  ["maps without an inner one", { type: MapType.ARRAY_OF_MAPS }, "inner map"],
  ["no entries", { maxEntries: 0 }, "no entries"],
];

function ring(maxEntries: number): Partial<MapOptions> {
  return { type: MapType.RINGBUF, keySize: 0, valueSize: 0, maxEntries };
}

for (const [what, options, why] of refused) {
  Deno.test(`BpfMap.create() says why it refuses ${what}`, () => {
    const error = assertThrows(() => make(options)[Symbol.dispose](), Error, why);
    assertEquals(error instanceof KernelError || error instanceof RangeError, true);
  });
}

Deno.test("BpfMap.create() takes an LPM trie with its flag", () => {
  make({ type: MapType.LPM_TRIE, keySize: 8, flags: MapFlag.NO_PREALLOC })[Symbol.dispose]();
});
