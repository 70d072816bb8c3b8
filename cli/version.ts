/** `pilus version` */

import { VERSION } from "../agent/node/config.ts";
import type { Invocation } from "./command.ts";
import { printData } from "./output.ts";

export async function version({ options }: Invocation): Promise<void> {
  const data = { version: VERSION, deno: Deno.version.deno, target: Deno.build.target };
  await printData(options, data, (d) => `pilus ${d.version} (Deno ${d.deno}, ${d.target})\n`);
}
