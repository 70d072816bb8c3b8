import { assertEquals } from "@std/assert";
import { settled } from "../core/schedule.ts";
import { createResourceTables } from "../kubernetes/resource_tables.ts";
import type { Pod } from "../kubernetes/resources.ts";
import { mergeSources } from "./resource_source.ts";

function pod(name: string, from: string): Pod {
  return { kind: "Pod", metadata: { name, namespace: "demo", labels: { from } } };
}

Deno.test("mergeSources() gives a resource of two sources to the first, and the second takes over", async () => {
  const [first, second] = [createResourceTables(), createResourceTables()];
  using merged = mergeSources([{ tables: first }, { tables: second }]);
  const { tables } = merged;
  const shown = () =>
    tables.Pod.rows().map(({ metadata: { name, labels } }) => [name, labels.from]);
  second.Pod.replace([pod("a", "second"), pod("b", "second")]);
  first.Pod.set(pod("a", "first"));
  first.problems.set({ source: "x.yaml", line: 1, message: "is wrong" });
  await settled();
  assertEquals(shown().sort(), [["a", "first"], ["b", "second"]]);
  assertEquals(tables.problems.rows().map(({ source, reason }) => [source, reason]), [
    ["x.yaml", undefined],
    ["Pod demo/a", "Duplicate"],
  ]);
  first.Pod.delete("demo/a");
  await settled();
  assertEquals(shown().sort(), [["a", "second"], ["b", "second"]]);
  assertEquals(tables.problems.size, 1);
});

Deno.test("mergeSources() of one source gives that one's tables", () => {
  const tables = createResourceTables();
  assertEquals(mergeSources([{ tables }]).tables, tables);
});
