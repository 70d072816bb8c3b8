/** `pilus agent --print-config` */

import type { Setting } from "../agent/node/settings.ts";
import type { OptionValues } from "./command.ts";
import { printRows } from "./output.ts";

/** Prints each option with its value and where that is from. */
export async function printConfig(
  options: OptionValues,
  settings: readonly Setting[],
): Promise<void> {
  await printRows(options, settings.map(({ value = null, ...rest }) => ({ ...rest, value })), [
    { title: "OPTION", value: ({ option }) => option },
    {
      title: "VALUE",
      value: ({ value }) => Array.isArray(value) ? value.join(",") : String(value ?? ""),
    },
    {
      title: "FROM",
      value: ({ source, where }) => source === "default" ? source : `${source} ${where}`,
    },
  ]);
}
