/** The agent's settings from a command line, the environment and a file. */

import { OptionError } from "../agent/core/option.ts";
import { ALL_OPTIONS, type Given } from "../agent/node/options.ts";
import { type Setting, settingsOf } from "../agent/node/settings.ts";
import { type Invocation, UsageError } from "./command.ts";

/** The settings in force. Throws UsageError that names source, rule and value. */
export async function agentSettings({ options, given }: Invocation): Promise<Setting[]> {
  const names = ALL_OPTIONS.map(({ name }) => name);
  const flags = new Map(
    names.filter((name) => given.has(name)).map((name) => [name, options[name] as Given]),
  );
  const environment = Deno.env.toObject();
  const path = options.config ?? environment.PILUS_CONFIG;
  try {
    const file = path
      ? (await import("../agent/node/config_file.ts")).readConfigFile(String(path), names)
      : new Map();
    return settingsOf({ flags, environment, file });
  } catch (error) {
    throw usage(error);
  }
}

function usage(error: unknown): unknown {
  return error instanceof OptionError ? new UsageError(error.message, { cause: error }) : error;
}
