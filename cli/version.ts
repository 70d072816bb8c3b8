/** `pilus version` */

import { VERSION } from "../agent/node/config.ts";
import type { Invocation } from "./command.ts";
import { formatFields, printData } from "./output.ts";

export async function version({ options }: Invocation): Promise<void> {
  const data = {
    version: VERSION,
    deno: Deno.version.deno,
    v8: Deno.version.v8,
    target: Deno.build.target,
    kernel: Deno.osRelease(),
  };
  await printData(options, data, (d) =>
    formatFields([
      ["pilus", d.version],
      ["Deno", `${d.deno} (V8 ${d.v8}, ${d.target})`],
      ["Kernel", d.kernel],
    ]));
}
