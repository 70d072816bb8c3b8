/** The CNI plugin as a runtime runs it: a process with an environment, a configuration and an answer. */

import { assertEquals } from "@std/assert";

export interface CniAnswer {
  code: number;
  // deno-lint-ignore no-explicit-any
  json: any;
}

export interface PluginRun {
  env: Record<string, string>;
  /** Text as it is, anything else as JSON. */
  config: unknown;
  /** Stdin does not end. @default {false} */
  open?: boolean;
}

/** Runs the words of a plugin, which says nothing on stderr. */
export async function runPlugin(
  [program, ...args]: readonly string[],
  { env, config, open = false }: PluginRun,
): Promise<CniAnswer> {
  await using child = new Deno.Command(program!, {
    args,
    env: { NO_COLOR: "1", ...env },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  const text = typeof config === "string" ? config : JSON.stringify(config);
  await writer.write(new TextEncoder().encode(text)).catch(() => {});
  if (!open) await writer.close().catch(() => {});
  const { code, stdout, stderr } = await child.output();
  if (open) await writer.close().catch(() => {});
  assertEquals(new TextDecoder().decode(stderr), "");
  const out = new TextDecoder().decode(stdout);
  return { code, json: out === "" ? undefined : JSON.parse(out) };
}
