import { assert, assertEquals } from "@std/assert";
import { formatTable, TABLE_WIDTH } from "./output.ts";

Deno.test("formatTable() aligns columns and ends no line in blanks", () => {
  const rows = [{ name: "a", count: 5 }, { name: "longer", count: 1234 }];
  assertEquals(
    formatTable([
      { title: "NAME", value: (r) => r.name },
      { title: "N", value: (r) => r.count, align: "right" },
      { title: "NOTE", value: () => undefined },
    ], rows),
    "NAME       N  NOTE\na          5\nlonger  1234\n",
  );
});

Deno.test("formatTable() takes from the widest columns what does not fit a terminal", () => {
  const text = formatTable([
    { title: "A", value: () => "short" },
    { title: "B", value: () => "b".repeat(90) },
    { title: "C", value: () => "c".repeat(40) },
  ], [{}]);
  const [, line] = text.split("\n");
  assertEquals(line!.length, TABLE_WIDTH);
  assert(line!.startsWith("short  b") && line!.includes("…"));
});
