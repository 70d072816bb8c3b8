/** Which value of each option is in force, and where it is from: flag, environment, file, default. */

import { didYouMean } from "../core/nearest.ts";
import { OptionError, readList, readValue } from "../core/option.ts";
import type { FileValue } from "./config_file.ts";
import type { AgentOption } from "./option_kinds.ts";
import { type AgentConfig, ALL_OPTIONS, type Given, OPTIONS, variableOf } from "./options.ts";

/** An option's value in force. */
export interface Setting {
  /** The option's name. */
  option: string;
  value: Given;
  source: "flag" | "environment" | "file" | "default";
  /** `--xdp`, `PILUS_XDP`, `agent.yaml:3`, or empty for a default. */
  where: string;
}

/** Where values may come from, the strongest first. */
export interface Sources {
  /** By option name; checked as to type, choices and range. */
  flags?: ReadonlyMap<string, Given>;
  environment?: Readonly<Record<string, string>>;
  /** By option name. */
  file?: ReadonlyMap<string, FileValue>;
}

/** Variables of pilus that are no option of the agent. */
const OTHER_VARIABLES = ["PILUS_CONFIG", "PILUS_SOCKET", "PILUS_DEBUG"];

/** A setting for each option, in their order. Throws OptionError that names source, rule and value. */
export function settingsOf(sources: Sources): Setting[] {
  return ALL_OPTIONS.map((option) => {
    const setting = settingOf(option, sources);
    if (setting.source !== "default") naming(nameIn(setting), () => option.read(setting.value));
    return setting;
  });
}

/** The configuration that settings make. */
export function configOf(settings: readonly Setting[]): AgentConfig {
  const values = new Map(settings.map(({ option, value }) => [option, value]));
  const config = Object.entries(OPTIONS).map(([key, row]) => {
    const option = row as AgentOption<Given, unknown>;
    return [key, option.read(values.get(option.name)!)];
  });
  return Object.fromEntries(config) as AgentConfig;
}

/** What is said of variables that look like options and are none. */
export function unknownVariables(environment: Readonly<Record<string, string>>): string[] {
  const known = [...ALL_OPTIONS.map(variableOf), ...OTHER_VARIABLES];
  return Object.keys(environment)
    .filter((name) => name.startsWith("PILUS_") && !known.includes(name))
    .map((name) => `No option is called ${name}${didYouMean(name, known)}`);
}

function settingOf(option: AgentOption<Given, unknown>, sources: Sources): Setting {
  const { name } = option;
  const setting = (source: Setting["source"], where: string, value: Given) => {
    return { option: name, value, source, where };
  };
  const flag = sources.flags?.get(name);
  if (flag !== undefined) return setting("flag", `--${name}`, flag);

  const variable = variableOf(option);
  const { environment = {} } = sources;
  const text = Object.hasOwn(environment, variable) ? environment[variable] : undefined;
  // an empty variable is what a unit file or a shell has for one that is not set
  if (text) {
    const value = naming(variable, () => valueOf(option, [text]));
    return setting("environment", variable, value);
  }
  const inFile = sources.file?.get(name);
  if (inFile) {
    const value = naming(`${inFile.where}: ${name}`, () => fileValue(option, inFile));
    return setting("file", inFile.where, value);
  }
  return setting("default", "", option.default ?? option.find!());
}

function valueOf(option: AgentOption<Given, unknown>, texts: readonly string[]): Given {
  return option.type === "list" ? readList(option, texts) : readValue(option, texts[0]!);
}

function fileValue(option: AgentOption<Given, unknown>, { texts, list }: FileValue): Given {
  if (list && option.type !== "list") throw new OptionError("takes one value, not several");
  return valueOf(option, texts);
}

function nameIn({ source, where, option }: Setting): string {
  return source === "file" ? `${where}: ${option}` : where;
}

/** Puts the name that the value was given by before the message. */
function naming<Value>(name: string, work: () => Value): Value {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof OptionError)) throw error;
    throw new OptionError(`${name} ${error.message}`);
  }
}
