/** `pilus trace-level` */

import { ask } from "./ask.ts";
import { type Invocation, UsageError } from "./command.ts";
import { write } from "./output.ts";

const LEVELS = ["none", "connections", "packets"];

export async function setTraceLevel({ args, options }: Invocation): Promise<void> {
  const [level] = args;
  if (!LEVELS.includes(level!)) {
    throw new UsageError(`No trace level \`${level}\`; there is ${LEVELS.join(", ")}`);
  }
  await ask(options, "/v1/trace-level", { method: "POST", body: { level } });
  write(`tracing: ${level}\n`);
}
