import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { type Command, UsageError } from "./command.ts";
import { findCommand, parseInvocation } from "./parse.ts";
import { COMMANDS } from "./registry.ts";

const find = (line: string) => findCommand(COMMANDS, line.split(" ")).command.words;

const sample: Command = {
  words: "sample",
  group: "Look",
  summary: "For tests",
  arguments: [
    { name: "NAME", summary: "whose", required: true },
    { name: "SIZE", summary: "how large", values: ["small", "large"] },
  ],
  options: [
    {
      name: "number",
      short: "n",
      type: "number",
      summary: "How many",
      default: 3,
      range: [1, 99],
    },
    {
      name: "kind",
      short: "k",
      type: "string",
      summary: "Which",
      values: ["one", "two"],
      default: "one",
    },
    { name: "item", type: "list", summary: "Several" },
    { name: "quiet", short: "q", type: "boolean", summary: "Say nothing", default: false },
    { name: "loud", type: "boolean", summary: "Shout", default: true },
  ],
  run() {},
};
const parse = (...rest: string[]) => parseInvocation(sample, rest);

Deno.test("parseInvocation() says which options were given", () => {
  assertEquals(
    parse("x", "-n", "3", "--no-loud", "--item", "a").given,
    new Set(["number", "loud", "item"]),
  );
});

Deno.test("findCommand() takes the longest command that the words are", () => {
  assertEquals(find("endpoint get 7"), "endpoint get");
  assertEquals(find("status -o json"), "status");
  assertEquals(findCommand(COMMANDS, ["map", "get", "ct", "k"]).rest, ["ct", "k"]);
});

Deno.test("findCommand() suggests the nearest command, and the verbs of one that lacks its verb", () => {
  const message = (line: string) => assertThrows(() => find(line), UsageError).message;
  assertStringIncludes(message("endpont list"), "did you mean `endpoint list`?");
  assertStringIncludes(message("stauts"), "did you mean `status`?");
  assertStringIncludes(message("map"), "`map` needs a verb: it has list, dump, get");
  assertStringIncludes(message("map dmup"), "did you mean `map dump`?");
  assertStringIncludes(message("-o json status"), "Options follow the command");
  assertEquals(message("frobnicate"), "Unknown command `frobnicate`");
});

Deno.test("parseInvocation() gives defaults, short names, lists and switches", () => {
  assertEquals(parse("x"), {
    args: ["x"],
    options: { number: 3, kind: "one", item: [], quiet: false, loud: true },
    given: new Set<string>(),
  });
  assertEquals(
    parse("x", "-q", "-n", "5", "--item", "a,b", "--item=c", "--no-loud", "--kind", "two").options,
    { number: 5, kind: "two", item: ["a", "b", "c"], quiet: true, loud: false },
  );
  assertEquals(parse("--", "-x").args, ["-x"]);
  assertEquals(parse("x", "-ktwo").options.kind, "two");
  assertEquals(parse("x", "-k=two").options.kind, "two");
  assertEquals(parse("007").args, ["007"]);
  assertEquals(parse("--", "--no-loud").options.loud, true);
});

for (
  const [name, rest, part] of [
    ["an unknown option", ["x", "--nubmer", "1"], "no option --nubmer; did you mean `--number`?"],
    ["a value that is none of the choices", ["x", "--kind", "tow"], "did you mean `two`?"],
    ["a number that is none", ["x", "-n", "many"], "takes a number from 1 to 99, not `many`"],
    ["a number that is too large", ["x", "-n", "100"], "takes a number from 1 to 99, not `100`"],
    ["an option without its value", ["x", "--kind"], "--kind needs a value: Which"],
    ["a missing argument", [], "needs NAME: whose"],
    ["one argument too many", ["x", "small", "y"], "`y` is one too many"],
    ["an argument that is none of the choices", ["x", "lagre"], "did you mean `large`?"],
  ] as const
) {
  Deno.test(`parseInvocation() refuses ${name} and says how it goes`, () => {
    assertStringIncludes(assertThrows(() => parse(...rest), UsageError).message, part);
  });
}
