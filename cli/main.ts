/** The command line: finds the command, runs it, tells of errors by kind. */

import { type Command, EXIT, UsageError } from "./command.ts";
import { overview, page } from "./help.ts";
import { write } from "./output.ts";
import { findCommand, parseInvocation } from "./parse.ts";
import { COMMANDS } from "./registry.ts";

/** Runs a command line and resolves to the exit code. */
export async function run(args: string[]): Promise<number> {
  try {
    return await dispatch(args);
  } catch (error) {
    return tell(error);
  }
}

async function dispatch(args: string[]): Promise<number> {
  const [first] = args;
  if (first === undefined || first === "--help" || first === "-h") {
    write(overview(COMMANDS));
    return first === undefined ? EXIT.usage : EXIT.ok;
  }
  if (first === "help") {
    if (args.length === 1) write(overview(COMMANDS));
    else write(page(findCommand(COMMANDS, args.slice(1)).command));
    return EXIT.ok;
  }
  if (first === "--version") args = ["version"];
  const { command, rest } = findCommand(COMMANDS, args);
  if (asksForHelp(rest)) {
    write(page(command));
    return EXIT.ok;
  }
  return await runCommand(command, rest);
}

async function runCommand(command: Command, rest: string[]): Promise<number> {
  return await command.run(parseInvocation(command, rest)) ?? EXIT.ok;
}

function asksForHelp(rest: readonly string[]): boolean {
  const end = rest.indexOf("--");
  return (end < 0 ? rest : rest.slice(0, end)).some((arg) => arg === "--help" || arg === "-h");
}

/** One line for people, the fix below it when there is one; the stack with PILUS_DEBUG=1. */
function tell(error: unknown): number {
  const { name, message, hint, stack } = error as Error & { hint?: string };
  console.error(`pilus: ${message ?? error}`);
  // a KernelError has its hint in the message
  if (hint && !message.includes(hint)) console.error(`  ${hint}`);
  if (name === "UsageError") console.error("See `pilus help`.");
  if (Deno.env.get("PILUS_DEBUG") === "1" && stack) console.error(stack);
  return exitCode(error);
}

function exitCode(error: unknown): number {
  if (error instanceof UsageError) return EXIT.usage;
  const { name, status, code } = error as { name?: string; status?: number; code?: string };
  if (name === "AgentUnreachableError") return EXIT.unreachable;
  if (name === "AgentError" && status === 404) return EXIT.notFound;
  if (name === "KernelError" && (code === "EPERM" || code === "EACCES")) return EXIT.refused;
  if (error instanceof Deno.errors.PermissionDenied) return EXIT.refused;
  return EXIT.failed;
}
