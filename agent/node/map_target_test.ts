import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { BpfMap, MapType, TypedMap, u32, u64 } from "../../datapath/bpf/mod.ts";
import { mapTable, mapTarget } from "./map_target.ts";
import { Reconciler } from "../core/reconciler.ts";

const hash = (maxEntries: number) =>
  new TypedMap(
    BpfMap.create({ name: "rows", type: MapType.HASH, keySize: 4, valueSize: 8, maxEntries }),
    { key: u32, value: u64 },
  );

Deno.test("mapTarget() brings a map of the kernel to the table and repairs what is wiped by hand", async () => {
  using map = hash(16);
  map.set(7, 70n); // of nobody
  const table = mapTable<number, bigint>("rows", String);
  for (let i = 0; i < 4; i++) table.set({ key: i, value: BigInt(i) });
  await using reconciler = new Reconciler({ name: "rows", desired: table, target: mapTarget(map) });
  await reconciler.start();
  assertEquals([...map.entries()].sort(([a], [b]) => a - b), [[0, 0n], [1, 1n], [2, 2n], [3, 3n]]);

  map.clear();
  map.set(2, 99n);
  assertEquals(await reconciler.repair(), 4);
  assertEquals(map.count(), 4);
  assertEquals(map.get(2), 2n);
  assertEquals(reconciler.status().repairs, 4);

  // the comparison after one that found nothing looks at fingerprints
  assertEquals([await reconciler.repair(), await reconciler.repair()], [0, 0]);
  map.set(3, 4n);
  assertEquals(await reconciler.repair(), 1);
  assertEquals(map.get(3), 3n);
});

Deno.test("mapTarget() fills a full map as far as it goes and says of the others which map is full and what to do", async () => {
  using map = hash(2);
  const table = mapTable<number, bigint>("rows", String);
  for (let i = 0; i < 3; i++) table.set({ key: i, value: 1n });
  await using reconciler = new Reconciler({ name: "rows", desired: table, target: mapTarget(map) });
  await reconciler.start();
  const { errors, pending, lastError } = reconciler.status();
  assertEquals([errors, pending, map.count()], [1, 1, 2]);
  assertStringIncludes(lastError!.reason, "Map rows is full: it has room for 2 rows");
  assertStringIncludes(lastError!.reason, "--map-size rows=4");

  table.delete(map.has(0) ? "0" : "1"); // room again
  await reconciler.flush();
  assertEquals(reconciler.status().errors, 0);
  assertEquals(map.count(), 2);
});

Deno.test("mapTarget() deletes from an array by writing the value that stands for none", async () => {
  using map = new TypedMap(
    BpfMap.create({ name: "slots", type: MapType.ARRAY, keySize: 4, valueSize: 8, maxEntries: 8 }),
    { key: u32, value: u64 },
  );
  const table = mapTable<number, bigint>("slots", String);
  table.set({ key: 3, value: 5n });
  const none = { value: 0n, is: (value: bigint) => value === 0n };
  await using reconciler = new Reconciler({
    name: "slots",
    desired: table,
    target: mapTarget(map, { none }),
  });
  await reconciler.start();
  assertEquals(map.get(3), 5n);
  table.delete("3");
  await reconciler.flush();
  assertEquals(map.get(3), 0n);
  assert(reconciler.status().lastSync);
});
