import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { completion, overview, page } from "./help.ts";
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

/** What bash offers for the last word of a command line. */
async function offers(...words: string[]): Promise<string[]> {
  const script = `${completion(COMMANDS, "bash")}
    COMP_WORDS=(${words.map((w) => `'${w}'`).join(" ")}); COMP_CWORD=${words.length - 1}
    _pilus; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout, stderr, success } = await new Deno.Command("bash", { args: ["-c", script] })
    .output();
  assert(success, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout).trim().split("\n");
}

Deno.test("completion() makes bash offer commands, verbs and options", async () => {
  assertEquals(await offers("pilus", "end"), ["endpoint"]);
  assertEquals(await offers("pilus", "endpoint", ""), ["list", "get"]);
  assertEquals(await offers("pilus", "endpoint", "list", "--out"), ["--output"]);
  assertEquals(await offers("pilus", "monitor", "--from-p"), ["--from-pod"]);
});

Deno.test("completion() is a script for zsh and fish too", async () => {
  for (const shell of ["zsh", "bash"] as const) {
    const { success } = await new Deno.Command("bash", {
      args: ["-n", "-c", completion(COMMANDS, shell)],
    }).output();
    assert(success, shell);
  }
  assertStringIncludes(
    completion(COMMANDS, "fish"),
    "complete -c pilus -n '__fish_use_subcommand' -a status",
  );
});
