/** `pilus prefilter …` */

import type { PrefilterView } from "../agent/api/views.ts";
import { ask } from "./ask.ts";
import type { Invocation } from "./command.ts";
import { formatTable, plural, printData } from "./output.ts";

export async function listPrefilter({ options }: Invocation): Promise<void> {
  await printData(options, await ask<PrefilterView>(options, "/v1/prefilter"), prefilterText);
}

/** The page that people see. */
function prefilterText({ file, prefixes, dropped }: PrefilterView): string {
  const count = `${plural(dropped.packets, "packet")} dropped, ${dropped.bytes} bytes\n`;
  if (prefixes.length === 0) {
    const where = file ? `${file} has none` : "start the agent with --prefilter FILE";
    return `No prefixes: ${where}\n${count}`;
  }
  return formatTable([
    { title: "PREFIX", value: (p) => p.prefix },
    { title: "LINE", value: (p) => p.line || "-", align: "right" },
  ], prefixes) + `\n${plural(prefixes.length, "prefix", "prefixes")} of ${file}; ${count}`;
}
