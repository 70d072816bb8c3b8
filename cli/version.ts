/** `pilus version` */

import { VERSION } from "../agent/config.ts";
import type { Invocation } from "./command.ts";
import { printData } from "./output.ts";

export function version({ options }: Invocation): void {
  const data = { version: VERSION, deno: Deno.version.deno, target: Deno.build.target };
  printData(options, data, (d) => `pilus ${d.version} (Deno ${d.deno}, ${d.target})\n`);
}
