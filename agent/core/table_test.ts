import { assert, assertEquals, assertThrows } from "@std/assert";
import { derive } from "./derive.ts";
import { settled } from "./schedule.ts";
import { type Change, Table } from "./table.ts";

interface Row {
  id: string;
  value: number;
}

function newTable(name = "rows"): Table<Row> {
  return new Table<Row>({ name, key: (row) => row.id });
}

Deno.test("Table tells watchers many changes in parts, each once", async () => {
  const table = newTable();
  const seen: string[] = [];
  using _watch = table.watch((changes) => {
    assert(changes.length <= 1024);
    for (const { kind, key } of changes) seen.push(`${kind} ${key}`);
  });
  for (let i = 0; i < 3_000; i++) table.set({ id: `${i}`, value: 1 });
  // who comes in between gets what is changed from then on
  const late: string[] = [];
  using _late = table.watch((changes) => late.push(...changes.map(({ key }) => key)));
  table.set({ id: "7", value: 2 });
  await settled();
  const added = Array.from({ length: 3_000 }, (_, i) => `added ${i}`);
  assertEquals(seen, [...added, "updated 7"]);
  assertEquals(late, ["7"]);
});

Deno.test("Table tells watchers the net changes of a burst, once", async () => {
  const table = newTable();
  table.set({ id: "old", value: 1 });
  table.set({ id: "back", value: 1 });
  table.set({ id: "gone", value: 1 });
  const seen: (readonly Change<Row>[])[] = [];
  using _watch = table.watch((changes) => seen.push(changes));
  table.set({ id: "old", value: 2 });
  table.set({ id: "old", value: 3 });
  table.set({ id: "back", value: 2 });
  table.set({ id: "back", value: 1 });
  table.set({ id: "flash", value: 1 });
  table.delete("flash");
  table.delete("gone");
  table.set({ id: "new", value: 1 });
  assertEquals(seen, []);
  await settled();
  assertEquals(seen, [[
    {
      kind: "updated",
      key: "old",
      row: { id: "old", value: 3 },
      previous: { id: "old", value: 1 },
    },
    { kind: "deleted", key: "gone", previous: { id: "gone", value: 1 } },
    { kind: "added", key: "new", row: { id: "new", value: 1 } },
  ]]);
});

Deno.test("Table.replace() changes only what differs and keeps the revision when nothing does", () => {
  const table = newTable();
  table.replace([{ id: "a", value: 1 }, { id: "b", value: 2 }]);
  const revision = table.revision;
  table.replace([{ id: "b", value: 2 }, { id: "a", value: 1 }]);
  assertEquals(table.revision, revision);
  table.replace([{ id: "b", value: 3 }]);
  assertEquals(table.rows(), [{ id: "b", value: 3 }]);
  assertEquals(table.revision, revision + 2);
});

Deno.test("Table.rows() may be iterated while the table changes", () => {
  const table = newTable();
  table.replace([{ id: "a", value: 1 }, { id: "b", value: 2 }]);
  for (const row of table.rows()) {
    table.delete(row.id);
    table.set({ id: `${row.id}+`, value: row.value });
  }
  assertEquals(table.keys(), ["a+", "b+"]);
});

Deno.test("Table.watch() does not tell of what was there before", async () => {
  const table = newTable();
  const first: string[] = [];
  const second: string[] = [];
  using _a = table.watch((changes) => first.push(...changes.map((change) => change.key)));
  table.set({ id: "a", value: 1 });
  using b = table.watch((changes) => second.push(...changes.map((change) => change.key)));
  table.set({ id: "b", value: 1 });
  await settled();
  b[Symbol.dispose]();
  table.set({ id: "c", value: 1 });
  await settled();
  assertEquals([first, second], [["a", "b", "c"], ["b"]]);
});

Deno.test("derive() runs once per burst through a diamond of tables", async () => {
  const source = newTable("source");
  const left = newTable("left");
  const right = newTable("right");
  const sums = newTable("sums");
  using _l = derive([source], () => source.rows(), left);
  using _r = derive([left], () => left.rows().map((r) => ({ ...r, value: r.value * 10 })), right);
  using both = derive([source, left, right], () => [{
    id: "sum",
    value: [...source.rows(), ...left.rows(), ...right.rows()].reduce((n, r) => n + r.value, 0),
  }], sums);
  for (let i = 1; i <= 3; i++) source.set({ id: `${i}`, value: i });
  await both.settled();
  assertEquals(sums.rows(), [{ id: "sum", value: 72 }]);
  assertEquals(both.status().runs, 2);
});

Deno.test("derive() keeps the last good output when computing fails and says why", async () => {
  const source = newTable("source");
  const output = newTable("output");
  source.set({ id: "a", value: 1 });
  using derivation = derive([source], () => {
    if (source.has("bad")) throw new Error("bad row");
    return source.rows();
  }, output);
  source.set({ id: "bad", value: 1 });
  await derivation.settled();
  assertEquals(output.keys(), ["a"]);
  assertEquals(derivation.status().error, "bad row");
  source.delete("bad");
  source.set({ id: "b", value: 1 });
  await derivation.settled();
  assertEquals(output.keys(), ["a", "b"]);
  assertEquals(derivation.status().error, undefined);
});

Deno.test("derive() refuses circles and a second derivation of one table", () => {
  const a = newTable("a");
  const b = newTable("b");
  using _ = derive([a], () => a.rows(), b);
  assertThrows(() => derive([b], () => b.rows(), a), TypeError, "Cannot derive table a: it feeds");
  assertThrows(() => derive([a], () => a.rows(), b), TypeError, "it has a derivation already");
});
