/** `pilus trace-level` */

import { ask } from "./ask.ts";
import type { Invocation } from "./command.ts";
import { print } from "./output.ts";

/** Prints the level that is in force, after it was set where one is named. */
export async function traceLevel({ args: [wanted], options }: Invocation): Promise<void> {
  const call = wanted === undefined ? {} : { method: "POST" as const, body: { level: wanted } };
  const { level } = await ask<{ level: string }>(options, "/v1/trace-level", call);
  print(`tracing: ${level}\n`);
}
