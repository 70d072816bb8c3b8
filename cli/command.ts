/** Commands as data: what help, completion and the parser all read. */

import type { Option } from "../agent/core/option.ts";

export type { Option } from "../agent/core/option.ts";

/** A positional argument. */
export interface Argument {
  name: string;
  summary: string;
  required?: boolean;
  /** The only values that are taken. */
  values?: readonly string[];
}

/** Values of the options by long name; `list` options are arrays, and missing ones are undefined. */
export type OptionValues = Record<
  string,
  string | number | boolean | readonly string[] | undefined
>;

/** What a command gets. */
export interface Invocation {
  args: string[];
  options: OptionValues;
  /** Names of the options that the command line has; the others have their defaults. */
  given: ReadonlySet<string>;
}

/** Headings of the help page, in their order. */
export const GROUPS = ["Roles", "Look", "Follow", "Change", "Help"] as const;

/** A verb of the command line. */
export interface Command {
  /** Its words: "endpoint list". */
  words: string;
  group: typeof GROUPS[number];
  /** One line, no full stop. */
  summary: string;
  /** More, for its own help page. */
  description?: string;
  arguments?: readonly Argument[];
  options?: readonly Option[];
  examples?: readonly string[];
  /** Left out of help. */
  hidden?: boolean;
  /** Resolves to the exit code, 0 when it gives none. `commands` are all that there are. */
  run(
    invocation: Invocation,
    commands: readonly Command[],
  ): Promise<number | void> | number | void;
}

/** Exit codes by kind of error; in `pilus help` too. */
export const EXIT = {
  ok: 0,
  /** Something failed. */
  failed: 1,
  /** The command line is wrong. */
  usage: 2,
  /** The agent cannot be reached. */
  unreachable: 3,
  /** What was asked for does not exist. */
  notFound: 4,
  /** The kernel or its permissions do not allow it. */
  refused: 5,
} as const;

/** A wrong command line: printed with a pointer to help, exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** Options that every listing has. */
export const OUTPUT_OPTIONS: readonly Option[] = [
  {
    name: "output",
    short: "o",
    type: "string",
    summary: "How to print",
    values: ["table", "json", "yaml"],
    default: "table",
  },
];

/** Options of everything that asks the agent. */
export const AGENT_OPTIONS: readonly Option[] = [
  {
    name: "socket",
    type: "string",
    summary: "The agent's socket; the variable PILUS_SOCKET says the same",
    placeholder: "PATH",
  },
];
