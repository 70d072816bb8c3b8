/** Options of scripts that run long: a typing error must not begin such a run. */

import { parseArgs } from "@std/cli/parse-args";

/**
 * The arguments as `--NAME=VALUE`, those of `lists` repeated. Prints `usage` and exits with 0 for
 * --help, with 2 for anything that is no option.
 */
export function scriptOptions<Name extends string, List extends string = never>(
  usage: string,
  defaults: Record<Name, string>,
  lists: readonly List[] = [],
): Record<Name, string> & Record<List, string[]> {
  const unknown: string[] = [];
  const options = parseArgs(Deno.args, {
    boolean: ["help"],
    string: [...Object.keys(defaults), ...lists],
    collect: [...lists],
    default: defaults,
    unknown: (argument: string) => {
      unknown.push(argument);
      return false;
    },
  }) as Record<string, unknown>;
  if (options.help) {
    console.log(usage);
    Deno.exit(0);
  }
  if (unknown.length > 0) {
    console.error(`Unknown arguments: ${unknown.join(" ")}\n${usage}`);
    Deno.exit(2);
  }
  return options as Record<Name, string> & Record<List, string[]>;
}

/** The number that an option has; exits with 2 when it has none above or equal to 0. */
export function countOf(name: string, text: string): number {
  const value = Number(text);
  if (text.trim() !== "" && Number.isFinite(value) && value >= 0) return value;
  console.error(`--${name} is a number from 0 on: ${JSON.stringify(text)}`);
  return Deno.exit(2);
}
