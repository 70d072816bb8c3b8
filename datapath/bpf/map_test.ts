import { assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { KernelError } from "./kernel_error.ts";
import { perCpu, possibleCpus, u32, u64 } from "./codec.ts";
import { MapType, UpdateFlag } from "./constants.ts";
import { BpfMap } from "./map.ts";
import { mapFingerprint } from "./map_fingerprint.ts";
import { temporaryBpffs } from "./testdata/lab.ts";
import { TypedMap } from "./typed_map.ts";

function numbers(type: number, maxEntries: number, flags = 0): TypedMap<number, bigint> {
  const raw = BpfMap.create({ name: "numbers", type, keySize: 4, valueSize: 8, maxEntries, flags });
  return new TypedMap(raw, { key: u32, value: u64 });
}

for (const [name, type] of [["HASH", MapType.HASH], ["LRU_HASH", MapType.LRU_HASH]] as const) {
  Deno.test(`TypedMap sets, gets, lists and deletes 5,000 rows of a ${name} in batches`, () => {
    using map = numbers(type, 20_000);
    const rows = Array.from({ length: 5000 }, (_, i) => [i, BigInt(i) * 3n] as const);
    map.setMany(rows);
    assertEquals(map.get(4999), 14997n);
    assertEquals(map.get(5000), undefined);
    assertEquals(map.count(), 5000);
    const found = [...map.entries()].sort((a, b) => a[0] - b[0]);
    assertEquals(found, rows.map(([k, v]) => [k, v]));
    map.deleteMany(rows.filter(([k]) => k % 2 === 0).map(([k]) => k));
    map.deleteMany([1, 2, 3, 4, 5]); // some are gone already
    assertEquals(map.count(), 2497);
    assertEquals(map.delete(7), true);
    assertEquals(map.delete(7), false);
    map.clear();
    assertEquals(map.count(), 0);
  });
}

Deno.test("TypedMap iterates an LPM trie and an array", () => {
  const NO_PREALLOC = 1;
  using trie = new TypedMap(
    BpfMap.create({
      name: "trie",
      type: MapType.LPM_TRIE,
      keySize: 8,
      valueSize: 8,
      maxEntries: 100,
      flags: NO_PREALLOC,
    }),
    { key: u64, value: u64 },
  );
  for (let i = 0n; i < 20n; i++) trie.set((i << 32n) | 32n, i);
  assertEquals(trie.count(), 20);
  trie.deleteMany([(1n << 32n) | 32n, (99n << 32n) | 32n, (2n << 32n) | 32n]);
  assertEquals(trie.count(), 18);
  trie.clear();
  assertEquals(trie.count(), 0);

  using array = numbers(MapType.ARRAY, 10);
  array.setMany([[3, 33n], [9, 99n]]);
  assertEquals([...array.entries()].filter(([, v]) => v > 0n), [[3, 33n], [9, 99n]]);
  assertEquals([...array.used()], [[3, 33n], [9, 99n]]);
});

Deno.test("mapFingerprint() tells content from content, whatever the order", () => {
  using one = numbers(MapType.HASH, 8000);
  using other = numbers(MapType.HASH, 5000);
  const rows = Array.from({ length: 3000 }, (_, i) => [i, BigInt(i) << 20n] as const);
  one.setMany(rows);
  other.setMany(rows.toReversed());
  const before = mapFingerprint(one.raw);
  assertEquals(mapFingerprint(other.raw), before);
  for (const changed of [5n << 20n ^ 1n, 5n << 20n ^ 1n << 63n]) {
    one.set(5, changed);
    assertNotEquals(mapFingerprint(one.raw), before);
  }
  one.set(5, 5n << 20n ^ 1n << 40n);
  assertEquals(
    mapFingerprint(one.raw, 4),
    mapFingerprint(other.raw, 4),
    "the value's first half is the same",
  );
  one.set(5, 5n << 20n);
  assertEquals(mapFingerprint(one.raw), before);
  one.delete(0);
  assertNotEquals(mapFingerprint(one.raw), before);
});

Deno.test("TypedMap gives one value per CPU for a per-CPU map", () => {
  using map = new TypedMap(
    BpfMap.create({
      name: "percpu",
      type: MapType.PERCPU_HASH,
      keySize: 4,
      valueSize: 4,
      maxEntries: 10,
    }),
    { key: u32, value: perCpu(u32) },
  );
  const values = Array.from({ length: possibleCpus() }, (_, cpu) => cpu + 5);
  map.set(1, values);
  map.setMany([[2, values]]);
  assertEquals([...map.entries()].map(([, v]) => v), [values, values]);
  assertThrows(() => map.set(1, [1, 2, 3, 4, 5, 6, 7]), RangeError, "one per possible CPU");
});

Deno.test("BpfMap.set() says that the map is full, and obeys flags", () => {
  using map = numbers(MapType.HASH, 2);
  map.set(1, 1n);
  map.set(2, 1n);
  assertThrows(() => map.set(3, 1n), KernelError, "E2BIG: the map is full (2 entries)");
  assertThrows(() => map.setMany([[1, 2n], [4, 1n]]), KernelError, "at entry 1 of 2");
  assertThrows(() => map.set(1, 1n, UpdateFlag.NOEXIST), KernelError, "EEXIST");
});

Deno.test("BpfMap refuses keys, values and codecs of another size", () => {
  using map = numbers(MapType.HASH, 2);
  assertThrows(() => map.raw.get(new Uint8Array(3)), RangeError, "4 bytes, and 3 were given");
  assertThrows(() => map.raw.set(new Uint8Array(4), new Uint8Array(1)), RangeError);
  assertThrows(() => new TypedMap(map.raw, { key: u64, value: u64 }), TypeError, "8 and 8 bytes");
});

Deno.test("BpfMap.pin() and openPinned() name the same map", () => {
  using bpffs = temporaryBpffs();
  using map = numbers(MapType.HASH, 2);
  const path = `${bpffs.path}/numbers`;
  assertEquals(BpfMap.tryOpenPinned(path), undefined);
  map.raw.pin(path);
  using again = BpfMap.openPinned(path);
  assertEquals([again.id, again.name], [map.raw.id, "numbers"]);
  assertThrows(() => map.raw.pin(path), KernelError, "something else is pinned there");
});
