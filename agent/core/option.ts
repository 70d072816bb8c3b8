/** Options as data: how one is called, what it takes, and what a text gives as its value. */

import { didYouMean } from "./nearest.ts";

/** An option of a command or of a role. */
export interface Option {
  /** Long name without the dashes. */
  name: string;
  short?: string;
  /** `list` may be given more than once or with commas. */
  type: "string" | "number" | "boolean" | "list";
  summary: string;
  /** What the value is called in help: FILE, SECONDS. */
  placeholder?: string;
  default?: string | number | boolean | readonly string[];
  /** The only values that are taken. */
  values?: readonly string[];
  /** Least and greatest number that is taken. @default [0, Infinity] */
  range?: readonly [number, number];
}

/** A value that an option does not take. The message goes on after the option's name. */
export class OptionError extends TypeError {
  override readonly name = "OptionError";
}

/** The value that a text gives, one item of a `list`. Throws OptionError that says what is taken. */
export function readValue(
  { type, summary, values, range }: Option,
  text: string,
): string | number | boolean {
  if (text === "") throw new OptionError(`needs a value: ${summary}`);
  if (type === "boolean") {
    if (text === "true" || text === "false") return text === "true";
    throw new OptionError(`takes true or false, not \`${text}\``);
  }
  if (values && !values.includes(text)) {
    throw new OptionError(
      `takes ${values.join(", ")}, not \`${text}\`${didYouMean(text, values)}`,
    );
  }
  if (type !== "number") return text;
  const number = /^-?[0-9]+(\.[0-9]+)?$/.test(text) ? Number(text) : NaN;
  const [least, most] = range ?? [0, Infinity];
  if (!(number >= least && number <= most)) {
    const limits = most === Infinity ? `of at least ${least}` : `from ${least} to ${most}`;
    throw new OptionError(`takes a number ${limits}, not \`${text}\``);
  }
  return number;
}

/** The items that texts with commas give. Throws OptionError. */
export function readList(option: Option, texts: readonly string[]): string[] {
  return texts.flatMap((text) => text.split(",")).map((item) => item.trim())
    .filter((item) => item !== "").map((item) => String(readValue(option, item)));
}
