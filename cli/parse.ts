/** From argv to a command and its options. */

import { parseArgs } from "@std/cli/parse-args";
import { didYouMean } from "../agent/core/nearest.ts";
import { OptionError, readList, readValue } from "../agent/core/option.ts";
import {
  type Command,
  type Invocation,
  type Option,
  type OptionValues,
  UsageError,
} from "./command.ts";

/** The commands whose first word is `noun`, as `endpoint list` and `endpoint get` of `endpoint`. */
export function commandsOf(commands: readonly Command[], noun: string): Command[] {
  return commands.filter((c) => c.words.startsWith(`${noun} `) && !c.hidden);
}

/** The longest command that argv begins with, and what follows it. Throws UsageError. */
export function findCommand(
  commands: readonly Command[],
  argv: readonly string[],
): { command: Command; rest: string[] } {
  const option = argv.findIndex((arg) => arg.startsWith("-"));
  const words = option < 0 ? argv : argv.slice(0, option);
  const [noun, verb] = words;
  if (noun === undefined) {
    throw new UsageError(
      `Options follow the command: \`${argv[0]}\` is before it, or there is none`,
    );
  }
  const found = commands.find((c) => c.words === `${noun} ${verb}`) ??
    commands.find((c) => c.words === noun);
  if (found) return { command: found, rest: argv.slice(found.words.split(" ").length) };
  const verbs = commandsOf(commands, noun).map((c) => c.words.slice(noun.length + 1));
  if (verbs.length === 0) {
    const visible = commands.filter((c) => !c.hidden).map((c) => c.words);
    // of a noun with a typo, the verb counts too; the first word alone may be a whole command
    const given = visible.some((c) => c.includes(" ") && c.endsWith(` ${verb}`))
      ? `${noun} ${verb}`
      : noun;
    const known = given === noun ? [...new Set(visible.flatMap((c) => c.split(" ", 1)))] : visible;
    throw new UsageError(`Unknown command \`${given}\`${didYouMean(given, known)}`);
  }
  if (verb === undefined) {
    throw new UsageError(`\`${noun}\` needs a verb: it has ${verbs.join(", ")}`);
  }
  const near = didYouMean(`${noun} ${verb}`, verbs.map((v) => `${noun} ${v}`));
  throw new UsageError(
    `Unknown command \`${noun} ${verb}\`: \`${noun}\` has ${verbs.join(", ")}${near}`,
  );
}

/** The options and arguments of a command. Throws UsageError that names what is wrong and the fix. */
export function parseInvocation(command: Command, rest: readonly string[]): Invocation {
  const options = command.options ?? [];
  const of = (...types: Option["type"][]) =>
    options.filter((o) => types.includes(o.type)).map((o) => o.name);
  const unknown: string[] = [];
  const end = rest.indexOf("--");
  const flags = end < 0 ? rest : rest.slice(0, end);
  const parsed = parseArgs([...apart(flags, options), ...rest.slice(flags.length)], {
    boolean: of("boolean"),
    string: [...of("string", "number", "list"), "_"], // "_": an argument 007 stays 007
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
    const near = didYouMean(unknown[0]!, options.map((o) => `--${o.name}`).concat("--help"));
    throw new UsageError(`\`${command.words}\` has no option ${unknown[0]}${near}`);
  }
  const args = [...parsed._.map(String), ...(parsed["--"] ?? [])];
  const declared = command.arguments ?? [];
  const missing = declared.filter((a) => a.required)[args.length];
  if (missing) {
    throw new UsageError(`\`${command.words}\` needs ${missing.name}: ${missing.summary}`);
  }
  if (args.length > declared.length) {
    throw new UsageError(
      `\`${command.words}\` takes ${declared.length === 0 ? "no" : declared.length} argument${
        declared.length === 1 ? "" : "s"
      }; \`${args[declared.length]}\` is one too many`,
    );
  }
  for (const [i, { name, values }] of declared.entries()) {
    const arg = args[i];
    if (arg === undefined || !values || values.includes(arg)) continue;
    throw new UsageError(
      `${name} is one of ${values.join(", ")}, not \`${arg}\`${didYouMean(arg, values)}`,
    );
  }
  const values: OptionValues = {};
  const given = new Set<string>();
  for (const option of options) {
    const { name } = option;
    const raw = parsed[name];
    const mentioned = option.type === "boolean"
      ? isMentioned(option, flags)
      : option.type === "list"
      ? Array.isArray(raw) && raw.length > 0
      : raw !== undefined;
    if (mentioned) given.add(name);
    values[name] = mentioned ? optionValue(option, raw) : option.default;
    if (option.type === "list") values[name] ??= [];
  }
  return { args, options: values, given };
}

/** `-ojson` as `-o json`, which parseArgs would take for five switches. */
function apart(flags: readonly string[], options: readonly Option[]): string[] {
  const shorts = options.filter((o) => o.type !== "boolean").map((o) => o.short);
  return flags.flatMap((flag) =>
    /^-[a-zA-Z][^=]/.test(flag) && shorts.includes(flag[1])
      ? [flag.slice(0, 2), flag.slice(2)]
      : flag
  );
}

/** parseArgs gives false for a switch that is not there. */
function isMentioned({ name, short }: Option, flags: readonly string[]): boolean {
  return flags.some((flag) =>
    flag === `--${name}` || flag.startsWith(`--${name}=`) || flag === `--no-${name}` ||
    (short !== undefined && /^-[a-zA-Z]/.test(flag) && flag.includes(short))
  );
}

/** Throws UsageError that names the option. */
function optionValue(option: Option, raw: unknown): OptionValues[string] {
  const texts = (Array.isArray(raw) ? raw : [raw]).map(String);
  try {
    if (option.type === "boolean") return raw === true;
    if (option.type === "list") return readList(option, texts);
    return readValue(option, texts.at(-1)!);
  } catch (error) {
    if (!(error instanceof OptionError)) throw error;
    throw new UsageError(`--${option.name} ${error.message}`);
  }
}
