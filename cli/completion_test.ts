import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { ALL_OPTIONS } from "../agent/node/options.ts";
import { completion } from "./completion.ts";
import { COMMANDS } from "./registry.ts";

async function bash(...args: string[]): Promise<string> {
  const { stdout, stderr, success } = await new Deno.Command("bash", { args }).output();
  const decoder = new TextDecoder();
  assert(success, decoder.decode(stderr));
  assertEquals(decoder.decode(stderr), "");
  return decoder.decode(stdout);
}

/** What bash offers for the last word of a command line. */
async function offers(...words: string[]): Promise<string[]> {
  const script = `${completion(COMMANDS, "bash")}
    COMP_WORDS=(${words.map((w) => `'${w}'`).join(" ")}); COMP_CWORD=${words.length - 1}
    _pilus; printf '%s\\n' "\${COMPREPLY[@]}"`;
  return (await bash("-c", script)).trim().split("\n");
}

for (
  const [line, expected] of [
    ["pilus end", ["endpoint"]],
    ["pilus demo", ["demo"]], // not the hidden ones
    ["pilus endpoint ", ["list", "get"]],
    ["pilus endpoint g", ["get"]],
    ["pilus endpoint list --out", ["--output"]],
    ["pilus endpoint list -o ", ["table", "json", "yaml"]],
    ["pilus endpoint list --output y", ["yaml"]],
    ["pilus status --w", ["--wait"]],
    ["pilus monitor --from-p", ["--from-pod", "--from-port"]],
    ["pilus monitor --type d", ["drop"]],
    ["pilus trace-level p", ["packets"]],
    ["pilus completion f", ["fish"]],
    ["pilus help serv", ["service"]],
    ["pilus agent --manifests ", [""]], // names of files
    ["pilus agent --no-m", ["--no-masquerade"]],
    ["pilus agent --print", ["--print-config"]],
    ["pilus uninstall --d", ["--dry-run"]],
    ["pilus nothing ", [""]],
  ] as const
) {
  Deno.test(`completion() makes bash offer ${expected.join(", ") || "files"} after \`${line}\``, async () => {
    assertEquals(await offers(...line.split(" ")), [...expected]);
  });
}

Deno.test("completion() makes bash offer each option of the agent, and the values of those that have some", async () => {
  for (const { name, values } of ALL_OPTIONS) {
    assert((await offers("pilus", "agent", `--${name}`)).includes(`--${name}`), name);
    if (values) assertEquals(await offers("pilus", "agent", `--${name}`, ""), [...values]);
  }
});

Deno.test("completion() is a script that bash takes, and that names every command for each shell", async () => {
  await bash("-n", "-c", completion(COMMANDS, "bash"));
  for (const shell of ["bash", "zsh", "fish"] as const) {
    const script = completion(COMMANDS, shell);
    for (const { words, hidden } of COMMANDS) {
      if (!hidden) { for (const word of words.split(" ")) assertStringIncludes(script, word); }
    }
  }
});
