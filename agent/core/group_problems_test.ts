import { assertEquals } from "@std/assert";
import { GroupProblems } from "./group_problems.ts";
import { problemTable } from "./problem.ts";

Deno.test("GroupProblems has each problem as long as a group finds it", () => {
  const table = problemTable("problems");
  const problems = new GroupProblems(table);
  const set = (group: string, ...messages: string[]) => {
    problems.set(group, messages.map((message) => ({ source: "s", message })));
    return table.rows().map(({ message }) => message);
  };
  assertEquals(set("a", "one", "two", "one"), ["one", "two"]);
  assertEquals(set("b", "two", "three"), ["one", "two", "three"]);
  const { revision } = table;
  assertEquals(set("b", "two", "three"), ["one", "two", "three"]);
  assertEquals(table.revision, revision);
  assertEquals(set("a"), ["two", "three"]);
  assertEquals(set("b", "three"), ["three"]);
  assertEquals(set("b"), []);
  assertEquals(set("c"), []);
});
