import { assert, assertEquals } from "@std/assert";
import { formatFields, formatTable, TABLE_WIDTH, wrap } from "./output.ts";

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

Deno.test("formatTable() continues what does not fit in the next line, and loses nothing", () => {
  const labels = Array.from({ length: 12 }, (_, i) => `k8s:label-number-${i}=value`);
  const text = formatTable([
    { title: "A", value: () => "short" },
    { title: "B", value: () => "z".repeat(90) },
    { title: "LABELS", value: () => labels.join(" ") },
  ], [{}]);
  const lines = text.trimEnd().split("\n");
  assert(lines.every((line) => line.length <= TABLE_WIDTH), text);
  assertEquals(lines.filter((line) => line.startsWith("short")).length, 1);
  assertEquals(text.match(/z/g)!.length, 90);
  for (const label of labels) assert(text.includes(label), label);
});

Deno.test("formatTable() breaks lines between words before it breaks a name", () => {
  const text = formatTable([
    { title: "NAME", value: () => "a-name-of-thirty-characters-00" },
    { title: "WHY", value: () => "words ".repeat(40) },
  ], [{}]);
  assert(text.includes("\na-name-of-thirty-characters-00  words words"), text);
});

Deno.test("formatTable() and formatFields() show control characters as escapes", () => {
  const name = "demo/\u001b]0;owned\u0007\u009b2J";
  const safe = "demo/\\x1b]0;owned\\x07\\x9b2J";
  assertEquals(formatTable([{ title: "POD", value: () => name }], [{}]), `POD\n${safe}\n`);
  assertEquals(formatFields([["Pod", name]]), `Pod: ${safe}\n`);
});

Deno.test("formatTable() puts a message with line breaks into its column", () => {
  assertEquals(
    formatTable([{ title: "WHY", value: () => "Cannot load:\n  0: r1 = 0\n" }], [{}]),
    "WHY\nCannot load: 0: r1 = 0\n",
  );
});

for (
  const [text, width, lines] of [
    ["fits", 4, ["fits"]],
    ["two words", 5, ["two", "words"]],
    ["two words", 3, ["two", "wor", "ds"]],
    ["two words, and more", 10, ["two words,", "and more"]],
    ["a=1,b=2,c=3", 8, ["a=1,b=2,", "c=3"]],
    ["demo/web-7d5b9c7c4-x2x", 12, ["demo/web-", "7d5b9c7c4-", "x2x"]],
    ["", 5, [""]],
  ] as const
) {
  Deno.test(`wrap() breaks ${JSON.stringify(text)} at ${width} columns`, () => {
    assertEquals(wrap(text, width), [...lines]);
  });
}

Deno.test("formatFields() aligns the texts, wraps them and leaves empty ones out", () => {
  const text = formatFields([["Name", "x"], ["Missing", undefined], ["Long", "word ".repeat(25)]]);
  const [name, long, rest] = text.split("\n");
  assertEquals(name, "Name: x");
  assert(long!.startsWith("Long: word word") && long!.length <= TABLE_WIDTH);
  assert(rest!.startsWith("      word"));
});
