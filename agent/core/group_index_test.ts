import { assertEquals } from "@std/assert";
import { GroupIndex } from "./group_index.ts";
import { settled } from "./schedule.ts";
import { type Change, Table } from "./table.ts";

interface Item {
  id: string;
  groups: string[];
}

Deno.test("GroupIndex follows random changes of a table", async () => {
  const table = new Table<Item>({ name: "items", key: ({ id }) => id });
  const index = new GroupIndex<Item>(({ groups }) => groups);
  using _ = table.watch((changes) => {
    for (const change of changes) index.apply(change);
  });
  let seed = 1;
  const random = (below: number) => (seed = seed * 48271 % 0x7fffffff) % below;
  const names = ["a", "b", "c", "d"];
  for (let round = 0; round < 2_000; round++) {
    const id = `${random(6)}`;
    if (random(3) === 0) table.delete(id);
    else table.set({ id, groups: names.filter(() => random(3) === 0) });
    await settled();
    for (const name of names) {
      const of = table.rows().filter(({ groups }) => groups.includes(name));
      assertEquals(index.has(name), of.length > 0);
      assertEquals(index.keys(name).toSorted(), of.map(({ id }) => id).sort());
      assertEquals(index.rows(name).toSorted((a, b) => a.id < b.id ? -1 : 1), [
        ...of.sort((a, b) => a.id < b.id ? -1 : 1),
      ]);
    }
  }
});

Deno.test("GroupIndex.apply() returns what a change affects, and keeps a row's place", () => {
  const index = new GroupIndex<Item>(({ groups }) => groups);
  const row = (id: string, ...groups: string[]): Item => ({ id, groups });
  const update = (previous: Item, row: Item): Change<Item> => (
    { kind: "updated", key: row.id, row, previous }
  );
  const [one, two] = [row("1", "a", "b"), row("2", "a")];
  assertEquals([...index.apply({ kind: "added", key: "1", row: one })], ["a", "b"]);
  assertEquals([...index.apply({ kind: "added", key: "2", row: two })], ["a"]);
  const moved = row("1", "a", "c");
  assertEquals([...index.apply(update(one, moved))], ["a", "b", "c"]);
  assertEquals(index.rows("a"), [moved, two]);
  assertEquals([...index.apply({ kind: "deleted", key: "1", previous: moved })], ["a", "c"]);
  assertEquals([index.keys("a"), index.keys("b"), index.keys("c")], [["2"], [], []]);
});
