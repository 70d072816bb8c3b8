/** `pilus completion`: scripts that complete command lines, made from the commands. */

import type { Command, Invocation, Option } from "./command.ts";
import { write } from "./output.ts";

/** The shells there is a script for. */
export type Shell = "bash" | "zsh" | "fish";

export function printCompletion({ args }: Invocation, commands: readonly Command[]): void {
  write(completion(commands, args[0] as Shell));
}

/** The script for a shell. */
export function completion(commands: readonly Command[], shell: Shell): string {
  const visible = commands.filter((c) => !c.hidden);
  switch (shell) {
    case "bash":
      return bash(visible);
    case "zsh":
      return `(( $+functions[compdef] )) || { autoload -U compinit && compinit; }
autoload -U +X bashcompinit && bashcompinit
${bash(visible)}`;
    case "fish":
      return fish(visible);
  }
}

/** First words with the verbs that follow them; none of a command of one word. */
function nouns(commands: readonly Command[]): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const { words } of commands) {
    const [noun = "", verb] = words.split(" ");
    found.set(noun, [...found.get(noun) ?? [], ...verb ? [verb] : []]);
  }
  return found;
}

const takesValue = ({ type }: Option) => type !== "boolean";

/** The option as it is typed, short form too. */
function flags({ name, short }: Option): string[] {
  return [`--${name}`, ...short ? [`-${short}`] : []];
}

/** Long forms: of a switch that is on by default also the one that turns it off. */
function longNames({ name, type, default: preset }: Option): string[] {
  return type === "boolean" && preset === true ? [name, `no-${name}`] : [name];
}

function bash(commands: readonly Command[]): string {
  const tree = nouns(commands);
  const verbs = [...tree].filter(([, verbs]) => verbs.length > 0).map(([noun, verbs]) =>
    `    ${noun}) verbs="${verbs.join(" ")}" ;;`
  );
  // Of an option with any value nothing is offered: bash goes on with names of files.
  const valued = commands.flatMap(({ words, options = [] }) =>
    options.filter(takesValue).flatMap((option) =>
      flags(option).map((flag) => ({
        pattern: `"${words} ${flag}"`,
        choices: option.values?.join(" ") ?? "",
      }))
    )
  );
  const values = [...Map.groupBy(valued, ({ choices }) => choices)].map(([choices, options]) =>
    `    ${options.map(({ pattern }) => pattern).join("|")}) choices="${choices}" ;;`
  );
  const words = commands.map(({ words, options = [], arguments: args = [] }) => {
    const choices = args.flatMap(({ values = [] }) => values);
    return `    "${words}") choices="${
      [
        ...choices,
        ...options.flatMap(longNames).map((name) => `--${name}`),
        "--help",
      ].join(" ")
    }" ;;`;
  });
  return `_pilus() {
  local typed="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD-1]}"
  local command="\${COMP_WORDS[1]}" verbs="" choices=""
  case "$command" in
${verbs.join("\n")}
  esac
  if [ -n "$verbs" ] && [ "$COMP_CWORD" -gt 2 ]; then command="$command \${COMP_WORDS[2]}"; fi
  if [ "$COMP_CWORD" = 1 ] || { [ "$COMP_CWORD" = 2 ] && [ "$command" = help ]; }; then
    choices="${[...tree.keys(), "help"].join(" ")}"
  elif [ -n "$verbs" ] && [ "$COMP_CWORD" = 2 ]; then
    choices="$verbs"
  else case "$command $before" in
${values.join("\n")}
  *) case "$command" in
${words.join("\n")}
    esac ;;
  esac; fi
  COMPREPLY=($(compgen -W "$choices" -- "$typed"))
}
complete -o default -F _pilus pilus
`;
}

function fish(commands: readonly Command[]): string {
  const quote = (text: string) => `'${text.replaceAll(/['\\]/g, "\\$&")}'`;
  const lines = ["complete -c pilus -f"];
  const offer = (condition: string, ...words: string[]) =>
    lines.push(["complete -c pilus -n", quote(condition), ...words].join(" "));
  for (const [noun, verbs] of nouns(commands)) {
    const summary = commands.find((c) => c.words === noun)?.summary ?? verbs.join(", ");
    offer("__fish_use_subcommand", "-a", noun, "-d", quote(summary));
  }
  offer("__fish_use_subcommand", "-a", "help", "-d", quote("Help on a command"));
  for (const { words, summary, arguments: args = [], options = [] } of commands) {
    const [noun = "", verb] = words.split(" ");
    let seen = `__fish_seen_subcommand_from ${noun}`;
    if (verb) {
      const others = nouns(commands).get(noun)!.join(" ");
      offer(
        `${seen}; and not __fish_seen_subcommand_from ${others}`,
        "-a",
        verb,
        "-d",
        quote(summary),
      );
      seen += `; and __fish_seen_subcommand_from ${verb}`;
    }
    for (const { values } of args) if (values) offer(seen, "-a", quote(values.join(" ")));
    for (const option of options) {
      const { short, values } = option;
      const value = values
        ? ["-x", "-a", quote(values.join(" "))]
        : takesValue(option)
        ? ["-r"]
        : [];
      const letter = short ? ["-s", short] : [];
      for (const name of longNames(option)) {
        offer(seen, "-l", name, ...letter, ...value, "-d", quote(option.summary));
      }
    }
  }
  return lines.join("\n") + "\n";
}
