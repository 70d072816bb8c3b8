/** Help pages and shell completion, both from the commands. */

import { type Command, GROUPS, type Option } from "./command.ts";
import { TABLE_WIDTH } from "./output.ts";

/** The page of `pilus help`. */
export function overview(commands: readonly Command[]): string {
  const lines = [
    "pilus networks, load-balances, secures and observes pods with eBPF, as one file.",
    "",
    "Usage: pilus COMMAND [OPTIONS]",
  ];
  const width = Math.max(...commands.map((c) => c.words.length));
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

/** `text` after `head`, broken at blanks and indented so that no line is wider than a terminal. */
function hanging(head: string, text: string): string[] {
  const lines: string[] = [];
  let line = head;
  for (const word of text.split(" ")) {
    if (line.length > head.length && line.length + 1 + word.length > TABLE_WIDTH) {
      lines.push(line);
      line = " ".repeat(head.length);
    }
    line += line.length > head.length ? ` ${word}` : word;
  }
  return [...lines, line];
}

/** The help page of one command. */
export function page(command: Command): string {
  const args = (command.arguments ?? []).map((a) => a.required ? ` ${a.name}` : ` [${a.name}]`);
  const lines = [
    `${command.summary}.`,
    "",
    `Usage: pilus ${command.words}${args.join("")}${command.options?.length ? " [OPTIONS]" : ""}`,
  ];
  if (command.description) lines.push("", command.description);
  if (command.arguments?.length) {
    lines.push("", "Arguments:");
    const width = Math.max(...command.arguments.map((a) => a.name.length));
    for (const a of command.arguments) lines.push(`  ${a.name.padEnd(width)}  ${a.summary}`);
  }
  if (command.options?.length) {
    lines.push("", "Options:");
    const usages = command.options.map(optionUsage);
    const width = Math.min(36, Math.max(...usages.map((u) => u.length)));
    command.options.forEach((o, i) => {
      const preset = o.default === undefined || o.default === false || o.default === ""
        ? ""
        : ` [${o.default}]`;
      lines.push(...hanging(`  ${usages[i]!.padEnd(width)}  `, `${o.summary}${preset}`));
    });
  }
  if (command.examples?.length) {
    lines.push("", "Examples:", ...command.examples.map((e) => `  ${e}`));
  }
  return lines.join("\n") + "\n";
}

/** A completion script for the shell, made from the commands. */
export function completion(commands: readonly Command[], shell: "bash" | "zsh" | "fish"): string {
  const visible = commands.filter((c) => !c.hidden);
  if (shell === "fish") {
    const lines = ["complete -c pilus -f"];
    for (const c of visible) {
      const [first, second] = c.words.split(" ");
      const when = second ? `__fish_seen_subcommand_from ${first}` : "__fish_use_subcommand";
      lines.push(
        `complete -c pilus -n '${when}' -a ${second ?? first} -d '${
          c.summary.replaceAll("'", "")
        }'`,
      );
      for (const o of c.options ?? []) {
        const short = o.short ? ` -s ${o.short}` : "";
        lines.push(
          `complete -c pilus -n '__fish_seen_subcommand_from ${
            second ?? first
          }' -l ${o.name}${short}`,
        );
      }
    }
    return [...new Set(lines)].join("\n") + "\n";
  }
  const cases = visible.map((c) => {
    const flags = (c.options ?? []).map((o) => `--${o.name}`).concat("--help").join(" ");
    return `    "${c.words}") words="${flags}" ;;`;
  });
  const firsts = [...new Set(visible.map((c) => c.words.split(" ")[0]))];
  const seconds = firsts.flatMap((f) => {
    const verbs = visible.filter((c) => c.words.startsWith(`${f} `)).map((c) =>
      c.words.split(" ")[1]
    );
    return verbs.length ? [`      ${f}) words="${verbs.join(" ")}" ;;`] : [];
  });
  const body = `_pilus() {
  local current="\${COMP_WORDS[COMP_CWORD]}" words=""
  local one="\${COMP_WORDS[1]}" two="\${COMP_WORDS[1]} \${COMP_WORDS[2]}"
  if [ "$COMP_CWORD" = 1 ]; then
    words="${firsts.join(" ")}"
  elif [ "$COMP_CWORD" = 2 ] && [[ $current != -* ]]; then
    case "$one" in
${seconds.join("\n")}
    esac
  fi
  if [ -z "$words" ]; then case "$two" in
${cases.filter((c) => c.includes(" ", 5) && /"[^"]+ [^"]+"\)/.test(c)).join("\n")}
  esac; fi
  if [ -z "$words" ]; then case "$one" in
${cases.filter((c) => !/"[^"]+ [^"]+"\)/.test(c)).join("\n")}
  esac; fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -F _pilus pilus
`;
  return shell === "bash" ? body : `autoload -U +X bashcompinit && bashcompinit\n${body}`;
}
