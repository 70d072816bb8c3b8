/** From argv to a command and its options. */

import { parseArgs } from "@std/cli/parse-args";
import { closestString } from "@std/text/closest-string";
import {
  type Command,
  type Invocation,
  type Option,
  type OptionValues,
  UsageError,
} from "./command.ts";

/** The longest command that argv begins with, and what follows it. Throws UsageError. */
export function findCommand(
  commands: readonly Command[],
  argv: readonly string[],
): { command: Command; rest: string[] } {
  const words = argv.slice(0, argv.findIndex((a) => a.startsWith("-")) >>> 0);
  for (let n = Math.min(words.length, 3); n > 0; n--) {
    const name = words.slice(0, n).join(" ");
    const command = commands.find((c) => c.words === name);
    if (command) return { command, rest: argv.slice(n) };
  }
  const given = words.slice(0, 2).join(" ");
  const first = words[0] ?? argv[0] ?? "";
  const children = commands.filter((c) => c.words.startsWith(`${first} `) && !c.hidden);
  if (children.length > 0) {
    const verbs = children.map((c) => c.words.slice(first.length + 1));
    const hint = words[1] ? `; did you mean \`${first} ${closestString(words[1], verbs)}\`?` : "";
    throw new UsageError(
      `${words[1] ? `Unknown command \`${given}\`` : `\`${first}\` needs a verb`}: it has ${
        verbs.join(", ")
      }${hint}`,
    );
  }
  const names = commands.filter((c) => !c.hidden).map((c) => c.words);
  const near = closestString(given || first, names);
  throw new UsageError(`Unknown command \`${given || first}\`; did you mean \`${near}\`?`);
}

/** The options and arguments of a command. Throws UsageError that names what is wrong and the fix. */
export function parseInvocation(command: Command, rest: readonly string[]): Invocation {
  const options = command.options ?? [];
  const of = (type: Option["type"]) => options.filter((o) => o.type === type).map((o) => o.name);
  const unknown: string[] = [];
  const parsed = parseArgs([...rest], {
    boolean: of("boolean"),
    string: [...of("string"), ...of("number"), ...of("list")],
    collect: of("list"),
    negatable: of("boolean"),
    alias: Object.fromEntries(
      options.flatMap((o) => o.short ? [[o.short, o.name]] : []),
    ),
    "--": true,
    unknown: (arg, key) => {
      if (key === undefined) return true;
      unknown.push(arg.split("=", 1)[0]!);
      return false;
    },
  });
  if (unknown.length > 0) {
    const near = closestString(unknown[0]!, options.map((o) => `--${o.name}`).concat("--help"));
    throw new UsageError(`\`${command.words}\` has no option ${unknown[0]}; did you mean ${near}?`);
  }
  const values: OptionValues = {};
  for (const option of options) {
    values[option.name] = optionValue(option, parsed[option.name], rest);
  }
  const args = [...parsed._.map(String), ...(parsed["--"] ?? [])];
  const declared = command.arguments ?? [];
  const missing = declared.filter((a) => a.required)[args.length];
  if (missing) {
    throw new UsageError(`\`${command.words}\` needs ${missing.name}: ${missing.summary}`);
  }
  if (args.length > declared.length) {
    throw new UsageError(
      `\`${command.words}\` takes ${declared.length} argument${
        declared.length === 1 ? "" : "s"
      }; \`${args[declared.length]}\` is one too many`,
    );
  }
  return { args, options: values };
}

function optionValue(
  option: Option,
  given: unknown,
  rest: readonly string[],
): OptionValues[string] {
  const flag = `--${option.name}`;
  if (option.type === "boolean") {
    const said = rest.some((a) =>
      a === flag || a.startsWith(`${flag}=`) || a === `--no-${option.name}` ||
      (option.short !== undefined && new RegExp(`^-[a-zA-Z]*${option.short}`).test(a))
    );
    return said ? given === true : option.default;
  }
  if (option.type === "list") {
    const list = (Array.isArray(given) ? given : []).flatMap((v) => String(v).split(","));
    return list.filter((v) => v !== "");
  }
  if (given === undefined) return option.default;
  const text = String(Array.isArray(given) ? given.at(-1) : given);
  if (text === "") throw new UsageError(`${flag} needs a value: ${option.summary}`);
  if (option.values && !option.values.includes(text)) {
    throw new UsageError(
      `${flag} takes ${option.values.join(", ")}; did you mean ${
        closestString(text, option.values)
      }?`,
    );
  }
  if (option.type === "string") return text;
  const number = Number(text);
  if (!Number.isFinite(number)) throw new UsageError(`${flag} takes a number, not \`${text}\``);
  return number;
}
