import { assertEquals, assertStringIncludes } from "@std/assert";
import { groupPage, overview, page } from "./help.ts";
import { commandsOf } from "./parse.ts";
import { COMMANDS } from "./registry.ts";

const WIDTH = 100;

function tooWide(text: string): string[] {
  return text.split("\n").filter((line) => line.length > WIDTH);
}

Deno.test("overview() names every command that is not hidden, within 100 columns", () => {
  const text = overview(COMMANDS);
  assertEquals(tooWide(text), []);
  for (const { words, hidden } of COMMANDS) {
    assertEquals(text.includes(`  ${words} `), !hidden, words);
  }
});

for (const command of COMMANDS) {
  Deno.test(`page() of ${command.words} shows each option and argument within 100 columns`, () => {
    const text = page(command);
    assertEquals(tooWide(text), []);
    for (const { name } of command.options ?? []) assertStringIncludes(text, `--${name}`);
    for (const { name } of command.arguments ?? []) assertStringIncludes(text, name);
  });
}

Deno.test("groupPage() lists the verbs of a noun with their arguments", () => {
  assertEquals(
    groupPage("policy", commandsOf(COMMANDS, "policy")),
    "Usage: pilus policy VERB [OPTIONS]\n\nVerbs:\n" +
      "  get ENDPOINT  The rules that a pod is judged by, as the kernel has them\n\n" +
      "`pilus policy VERB --help` tells more.\n",
  );
});
