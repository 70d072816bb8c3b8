/** The command line: finds the command, runs it, tells of errors by kind. */

import { type Command, EXIT, UsageError } from "./command.ts";
import { groupPage, overview, page } from "./help.ts";
import { print, printError } from "./output.ts";
import { commandsOf, findCommand, parseInvocation } from "./parse.ts";
import { COMMANDS } from "./registry.ts";

/** Runs a command line and resolves to the exit code. */
export async function run(args: string[]): Promise<number> {
  let help = "pilus help";
  try {
    if (args.length === 0 || asksForHelp(args)) {
      const { words, named } = helpTopic(args);
      print(helpText(words));
      return named ? EXIT.ok : EXIT.usage;
    }
    const { command, rest } = findCommand(COMMANDS, args[0] === "--version" ? ["version"] : args);
    help = `pilus ${command.words} --help`;
    return await command.run(parseInvocation(command, rest), COMMANDS) ?? EXIT.ok;
  } catch (error) {
    return tell(error, help);
  }
}

function asksForHelp(args: readonly string[]): boolean {
  const end = args.indexOf("--");
  return args[0] === "help" ||
    (end < 0 ? args : args.slice(0, end)).some((arg) => arg === "--help" || arg === "-h");
}

/** Of which words help is wanted; `named` is false when nothing at all was said. */
function helpTopic(args: readonly string[]): { words: string[]; named: boolean } {
  const topic = args[0] === "help" ? args.slice(1) : args;
  const option = topic.findIndex((arg) => arg.startsWith("-"));
  return { words: option < 0 ? [...topic] : topic.slice(0, option), named: args.length > 0 };
}

function helpText(words: readonly string[]): string {
  const [noun] = words;
  if (noun === undefined) return overview(COMMANDS);
  const members: Command[] = words.length === 1 ? commandsOf(COMMANDS, noun) : [];
  return members.length > 0 ? groupPage(noun, members) : page(findCommand(COMMANDS, words).command);
}

/** One line for people, the fix below it when there is one; the stack with PILUS_DEBUG=1. */
function tell(error: unknown, help: string): number {
  const { message, hint, stack } = error as Error & { hint?: string };
  printError(`pilus: ${message ?? error}`);
  // a KernelError has its hint in the message
  if (hint && !message.includes(hint)) printError(`  ${hint}`);
  if (error instanceof UsageError) printError(`See \`${help}\`.`);
  if (Deno.env.get("PILUS_DEBUG") === "1" && stack) printError(stack);
  return exitCode(error);
}

/** By name, because importing the classes would load what most commands do not need. */
function exitCode(error: unknown): number {
  if (error instanceof UsageError) return EXIT.usage;
  if (!(error instanceof Error)) return EXIT.failed;
  const { name, cause, status, code } = error as Error & { status?: number; code?: string };
  if (name === "AgentUnreachableError") {
    return cause instanceof Deno.errors.PermissionDenied ? EXIT.refused : EXIT.unreachable;
  }
  if (name === "AgentError" && status === 404) return EXIT.notFound;
  if (name === "KernelError" && (code === "EPERM" || code === "EACCES")) return EXIT.refused;
  if (error instanceof Deno.errors.PermissionDenied) return EXIT.refused;
  return EXIT.failed;
}
