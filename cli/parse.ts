/** From argv to a command and its options. */

import { parseArgs } from "@std/cli/parse-args";
import { levenshteinDistance } from "@std/text/levenshtein-distance";
import {
  type Command,
  type Invocation,
  type Option,
  type OptionValues,
  UsageError,
} from "./command.ts";

/** ` did you mean …?` when one of the known words is close to the given one, else nothing. */
function didYouMean(given: string, known: readonly string[]): string {
  const near = known.map((word) => ({ word, distance: levenshteinDistance(given, word) }))
    .sort((a, b) => a.distance - b.distance)[0];
  if (!near || near.distance > Math.max(2, given.length / 3)) return "";
  return `; did you mean \`${near.word}\`?`;
}

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
  for (const option of options) {
    values[option.name] = option.type === "boolean"
      ? switchValue(option, parsed[option.name], flags)
      : optionValue(option, parsed[option.name]);
  }
  return { args, options: values };
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

/** parseArgs gives false for a switch that nobody mentioned; that one has its default. */
function switchValue(
  { name, short, default: preset }: Option,
  given: unknown,
  flags: readonly string[],
): OptionValues[string] {
  const mentioned = flags.some((flag) =>
    flag === `--${name}` || flag.startsWith(`--${name}=`) || flag === `--no-${name}` ||
    (short !== undefined && /^-[a-zA-Z]/.test(flag) && flag.includes(short))
  );
  return mentioned ? given === true : preset;
}

function optionValue(option: Option, given: unknown): OptionValues[string] {
  if (option.type === "list") {
    return (Array.isArray(given) ? given : []).flatMap((value) => String(value).split(","))
      .filter((value) => value !== "").map((value) => String(oneValue(option, value)));
  }
  if (given === undefined) return option.default;
  return oneValue(option, String(Array.isArray(given) ? given.at(-1) : given));
}

function oneValue({ name, type, summary, values, range }: Option, text: string): string | number {
  if (text === "") throw new UsageError(`--${name} needs a value: ${summary}`);
  if (values && !values.includes(text)) {
    throw new UsageError(
      `--${name} takes ${values.join(", ")}, not \`${text}\`${didYouMean(text, values)}`,
    );
  }
  if (type !== "number") return text;
  const number = /^-?[0-9]+(\.[0-9]+)?$/.test(text) ? Number(text) : NaN;
  const [least, most] = range ?? [0, Infinity];
  if (!(number >= least && number <= most)) {
    const limits = most === Infinity ? `of at least ${least}` : `from ${least} to ${most}`;
    throw new UsageError(`--${name} takes a number ${limits}, not \`${text}\``);
  }
  return number;
}
