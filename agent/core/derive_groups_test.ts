import { assert, assertEquals } from "@std/assert";
import { derive } from "./derive.ts";
import { deriveGroups, groupInput, rowsOf } from "./derive_groups.ts";
import type { Problem } from "./problem.ts";
import { settled } from "./schedule.ts";
import { Table } from "./table.ts";

interface Item {
  id: string;
  group: string;
  makes: string[];
}

interface Made {
  key: string;
  by: string;
}

/** Items of a group make rows, whose keys may be another group's too. */
function derived(items: Item[] = []) {
  const input = new Table<Item>({ name: "items", key: ({ id }) => id });
  input.replace(items);
  const output = new Table<Made>({
    name: "made",
    key: ({ key }) => key,
    equal: (a, b) => a.by === b.by,
  });
  const problems = new Table<Problem>({ name: "problems", key: ({ message }) => message });
  const computed: string[] = [];
  const watch = deriveGroups<Made>({
    inputs: [groupInput(input, (change) => [...rowsOf(change)].map(({ group }) => group))],
    output,
    problems,
    compute(group) {
      computed.push(group);
      const own = input.rows().filter((item) => item.group === group);
      return { rows: own.flatMap(({ makes }) => makes.map((key) => ({ key, by: group }))) };
    },
    conflict: (loser, owner) => ({
      source: loser.by,
      message: `${loser.key} of ${loser.by} is ${owner.by}'s`,
    }),
  });
  const rows = () => output.rows().map(({ key, by }) => `${key}:${by}`).sort();
  const told = () => problems.rows().map(({ message }) => message).sort();
  return { input, output, rows, told, computed, watch };
}

Deno.test("deriveGroups() computes what a change affects, and nothing else", async () => {
  const { input, rows, computed } = derived([
    { id: "1", group: "a", makes: ["x", "y"] },
    { id: "2", group: "b", makes: ["z"] },
  ]);
  await settled();
  assertEquals(rows(), ["x:a", "y:a", "z:b"]);
  computed.length = 0;
  input.set({ id: "1", group: "a", makes: ["y"] });
  await settled();
  assertEquals([rows(), computed], [["y:a", "z:b"], ["a"]]);
  // a row that changes its group affects both
  computed.length = 0;
  input.set({ id: "1", group: "b", makes: ["y"] });
  await settled();
  assertEquals([rows(), computed.sort()], [["y:b", "z:b"], ["a", "b"]]);
  input.replace([]);
  await settled();
  assertEquals(rows(), []);
});

Deno.test("deriveGroups(): a key of two groups is of the first by precedence, and of the next after it", async () => {
  const { input, rows, told } = derived([
    { id: "2", group: "b", makes: ["x"] },
    { id: "1", group: "a", makes: ["x"] },
  ]);
  await settled();
  assertEquals([rows(), told()], [["x:a"], ["x of b is a's"]]);
  input.set({ id: "0", group: "0", makes: ["x"] });
  await settled();
  assertEquals([rows(), told()], [["x:0"], ["x of a is 0's", "x of b is 0's"]]);
  input.delete("1");
  await settled();
  assertEquals([rows(), told()], [["x:0"], ["x of b is 0's"]]);
  // the owner's row may change
  input.set({ id: "0", group: "0", makes: ["w"] });
  await settled();
  assertEquals([rows(), told()], [["w:0", "x:b"], []]);
  // and be the one of another's name, which makes it, too
  input.set({ id: "2", group: "b", makes: ["b"] });
  await settled();
  input.set({ id: "0", group: "0", makes: ["b"] });
  await settled();
  assertEquals([rows(), told()], [["b:0"], ["b of b is 0's"]]);
  input.set({ id: "2", group: "b", makes: [] });
  await settled();
  assertEquals([rows(), told()], [["b:0"], []]);
});

Deno.test("deriveGroups() lets other work through, and what is derived from its rows sees all of them", async () => {
  const input = new Table<{ id: string }>({ name: "long-input", key: ({ id }) => id });
  for (let i = 0; i < 3_000; i++) input.set({ id: `${i}` });
  const output = new Table<{ id: string }>({ name: "long-output", key: ({ id }) => id });
  let computed = 0;
  using _ = deriveGroups({
    inputs: [groupInput(input, ({ key }) => [key])],
    output,
    compute(id) {
      const end = performance.now() + 0.02;
      while (performance.now() < end);
      computed++;
      return { rows: [{ id }] };
    },
  });
  const behind = new Table<{ id: string }>({ name: "long-behind", key: ({ id }) => id });
  const seen: number[] = [];
  using _behind = derive([output], () => {
    seen.push(output.size);
    return output.rows();
  }, behind);
  let before = 0;
  setTimeout(() => before = computed, 0);
  await settled();
  assertEquals([computed, behind.size], [3_000, 3_000]);
  assert(before > 0 && before < 3_000, `${before} were computed before other work had its turn`);
  assertEquals(seen, [0, 3_000]);
});

Deno.test("deriveGroups() stops when it is disposed of", async () => {
  const { input, rows, watch } = derived([{ id: "1", group: "a", makes: ["x"] }]);
  await settled();
  watch[Symbol.dispose]();
  input.set({ id: "1", group: "a", makes: ["y"] });
  await settled();
  assertEquals(rows(), ["x:a"]);
});
