/** Help pages, made from the commands. */

import { type Command, GROUPS, type Option } from "./command.ts";
import { TABLE_WIDTH, wrap } from "./output.ts";

/** A wider option does not push the others' texts to the right. */
const OPTION_WIDTH = 36;

/** The page of `pilus help`. */
export function overview(commands: readonly Command[]): string {
  const lines = [
    "pilus networks, load-balances, secures and observes pods with eBPF, as one file.",
    "",
    "Usage: pilus COMMAND [OPTIONS]",
  ];
  const width = Math.max(...commands.filter((c) => !c.hidden).map((c) => c.words.length));
  for (const group of GROUPS) {
    const members = commands.filter((c) => c.group === group && !c.hidden);
    if (members.length === 0) continue;
    lines.push("", `${group}:`);
    for (const c of members) lines.push(`  ${c.words.padEnd(width)}  ${c.summary}`);
  }
  lines.push(
    "",
    "`pilus COMMAND --help` tells more. Exit codes: 0 done, 1 failed, 2 wrong usage,",
    "3 the agent cannot be reached, 4 not found, 5 the kernel or its permissions refuse.",
    "With CNI_COMMAND set, pilus is a CNI plugin.",
  );
  return lines.join("\n") + "\n";
}

function optionUsage(o: Option): string {
  const value = o.type === "boolean"
    ? ""
    : ` ${o.values ? o.values.join("|") : o.placeholder ?? (o.type === "number" ? "N" : "TEXT")}`;
  return `${o.short ? `-${o.short}, ` : "    "}--${o.name}${value}`;
}

/** A column of names, each with its text behind it, no wider than a terminal. */
function list(pairs: readonly (readonly [string, string])[], atMost = TABLE_WIDTH): string[] {
  const width = Math.min(atMost, Math.max(...pairs.map(([name]) => name.length)));
  return pairs.flatMap(([name, text]) => {
    const head = `  ${name.padEnd(width)}  `;
    const [first, ...rest] = wrap(text, TABLE_WIDTH - head.length);
    return [head + first, ...rest.map((part) => " ".repeat(head.length) + part)];
  });
}

/** The page of a noun: its verbs. */
export function groupPage(noun: string, members: readonly Command[]): string {
  return [
    `Usage: pilus ${noun} VERB [OPTIONS]`,
    "",
    "Verbs:",
    ...list(
      members.map((c) => [`${c.words.slice(noun.length + 1)}${argumentUsage(c)}`, c.summary]),
    ),
    "",
    `\`pilus ${noun} VERB --help\` tells more.`,
  ].join("\n") + "\n";
}

function argumentUsage(command: Command): string {
  return (command.arguments ?? []).map((a) => a.required ? ` ${a.name}` : ` [${a.name}]`).join("");
}

function optionText({ summary, type, default: preset }: Option): string {
  const shown = preset !== undefined && String(preset) !== "" && type !== "boolean";
  return shown ? `${summary} [${preset}]` : summary;
}

/** The help page of one command. */
export function page(command: Command): string {
  const { words, summary, description, arguments: args, options, examples } = command;
  const lines = [
    `${summary}.`,
    "",
    `Usage: pilus ${words}${argumentUsage(command)}${options?.length ? " [OPTIONS]" : ""}`,
  ];
  if (description) lines.push("", ...wrap(description, TABLE_WIDTH));
  if (args?.length) lines.push("", "Arguments:", ...list(args.map((a) => [a.name, a.summary])));
  if (options?.length) {
    const pairs = options.map((o) => [optionUsage(o), optionText(o)] as const);
    lines.push("", "Options:", ...list(pairs, OPTION_WIDTH));
  }
  if (examples?.length) lines.push("", "Examples:", ...examples.map((e) => `  ${e}`));
  return lines.join("\n") + "\n";
}
