/** `pilus trace-level` */

import { ask } from "./ask.ts";
import type { Invocation } from "./command.ts";
import { print } from "./output.ts";

export async function setTraceLevel({ args, options }: Invocation): Promise<void> {
  const [level] = args;
  await ask(options, "/v1/trace-level", { method: "POST", body: { level } });
  print(`tracing: ${level}\n`);
}
