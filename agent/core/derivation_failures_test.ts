import { assertEquals } from "@std/assert";
import {
  derivationFailures,
  derivationFailureTotals,
  type FailureEvent,
  watchDerivationFailures,
} from "./derivation_failures.ts";
import { deriveGroups, groupInput } from "./derive_groups.ts";
import { derive } from "./derive.ts";
import { derivationProblems } from "./problem.ts";
import { settled } from "./schedule.ts";
import { Table } from "./table.ts";

interface Row {
  id: string;
  value: number;
}

function newTable(name: string): Table<Row> {
  return new Table<Row>({ name, key: ({ id }) => id });
}

function refuse(row: Row | undefined): Row[] {
  if (row && row.value < 0) throw new RangeError(`value ${row.value} is below 0`);
  return row ? [row] : [];
}

Deno.test("derive() keeps its rows when an iterator throws in the middle, and names its table", async () => {
  const source = newTable("source"), output = newTable("whole");
  source.replace([{ id: "a", value: 1 }, { id: "b", value: 1 }]);
  using _ = derive([source], function* () {
    for (const row of source.rows()) yield* refuse(row);
  }, output);
  source.set({ id: "a", value: 2 });
  source.set({ id: "b", value: -1 });
  await settled();
  assertEquals(output.rows(), [{ id: "a", value: 1 }, { id: "b", value: 1 }]);
  const reason = "value -1 is below 0";
  assertEquals(derivationFailures(), [{ table: "whole", key: "", reason }]);
  assertEquals(derivationProblems(), [{
    source: "table whole",
    reason: "DerivationFailed",
    message: `cannot be derived, so the rows from before stay: ${reason}`,
  }]);
  source.set({ id: "b", value: 3 });
  await settled();
  assertEquals(output.rows(), [{ id: "a", value: 2 }, { id: "b", value: 3 }]);
  assertEquals(derivationFailures(), []);
});

Deno.test("deriveGroups() fails by group: others go on, and the group recovers with its input", async () => {
  const source = newTable("source"), output = newTable("grouped");
  source.replace([{ id: "a", value: 1 }, { id: "b", value: 1 }]);
  using _ = deriveGroups<Row>({
    inputs: [groupInput(source, ({ key }) => [key])],
    compute: (group) => ({ rows: refuse(source.get(group)) }),
    output,
  });
  await settled();
  const events: FailureEvent[] = [];
  using _watch = watchDerivationFailures((event) => events.push(event));
  for (const value of [-1, -2, -1, -1]) {
    source.set({ id: "a", value });
    source.set({ id: "b", value: 10 - value });
    await settled();
  }
  assertEquals(output.rows(), [{ id: "a", value: 1 }, { id: "b", value: 11 }]);
  assertEquals(derivationFailures(), [
    { table: "grouped", key: "a", reason: "value -1 is below 0" },
  ]);
  assertEquals(derivationFailureTotals().get("grouped"), 3);
  source.delete("a");
  await settled();
  assertEquals(output.keys(), ["b"]);
  assertEquals(derivationFailures(), []);
  assertEquals(events.map(({ key, state }) => [key, state]), [
    ["a", "failed"],
    ["a", "failed"],
    ["a", "failed"],
    ["a", "recovered"],
  ]);
});

Deno.test("groupInput() tries a change whose groups it could not find again with the row's next one", async () => {
  const source = newTable("source"), output = newTable("moved");
  source.set({ id: "a", value: 1 });
  const group = ({ value }: Row) => {
    if (value < 0) throw new RangeError("no group");
    return String(value);
  };
  using _ = deriveGroups<Row>({
    inputs: [
      groupInput(
        source,
        (change) =>
          [change.kind !== "added" ? change.previous : undefined, source.get(change.key)]
            .filter((row) => row !== undefined).map(group),
      ),
    ],
    compute: (name) => ({ rows: source.rows().filter(({ value }) => String(value) === name) }),
    output,
  });
  await settled();
  source.set({ id: "a", value: -1 });
  await settled();
  assertEquals(output.rows(), [{ id: "a", value: 1 }]);
  assertEquals(derivationFailures().map(({ key }) => key), ["source/a"]);
  // group 1 is touched, too: it is that of the row before the failed change
  source.delete("a");
  await settled();
  assertEquals(output.rows(), []);
  assertEquals(derivationFailures(), []);
});

Deno.test("Table.watch(): a watcher that throws gets the same changes again, and others get theirs once", async () => {
  const table = newTable("watched");
  const seen: string[][] = [], other: string[][] = [];
  let broken = true;
  using watch = table.watch((changes) => {
    if (broken) throw new Error("not now");
    seen.push(changes.map(({ key, kind }) => `${kind} ${key}`));
  });
  using _other = table.watch((changes) => other.push(changes.map(({ key }) => key)));
  table.set({ id: "a", value: 1 });
  table.set({ id: "gone", value: 1 });
  await settled();
  assertEquals(derivationFailures(), [{ table: "watched", key: "watcher", reason: "not now" }]);
  table.set({ id: "a", value: 2 });
  table.delete("gone");
  await settled();
  broken = false;
  table.set({ id: "b", value: 1 });
  await settled();
  assertEquals(seen, [["added a", "added b"]]);
  assertEquals(other, [["a", "gone"], ["a", "gone"], ["b"]]);
  assertEquals(derivationFailures(), []);
  broken = true;
  table.set({ id: "c", value: 1 });
  await settled();
  watch[Symbol.dispose]();
  assertEquals(derivationFailures(), []);
});
