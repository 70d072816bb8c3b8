/** Names with `*`, and regular expressions. */

import { FilterError } from "./filter_error.ts";

const ANY_NAME = "[-.0-9a-z]*";

/** Whether a name fits one of the patterns, in which `*` stands for any part. Throws FilterError. */
export function namePatterns(patterns: readonly string[]): (name: string) => boolean {
  return oneOf(patterns.map(nameSource));
}

/** Whether `cluster/node` fits one of the patterns; a pattern may lack either. Throws FilterError. */
export function nodePatterns(patterns: readonly string[]): (name: string) => boolean {
  return oneOf(patterns.map((pattern) => {
    const parts = pattern.split("/");
    if (pattern === "" || parts.length > 2) throw new FilterError(`"${pattern}" names no node`);
    const [cluster, node] = parts.length === 1 ? ["", parts[0]!] : parts as [string, string];
    return [cluster, node].map((part) => part === "" ? ANY_NAME : nameSource(part)).join("/");
  }));
}

function nameSource(pattern: string): string {
  const name = pattern.trim().replace(/\.$/, "").toLowerCase();
  if (!/^[-_*.0-9a-z]+$/.test(name) || name.endsWith(".")) {
    throw new FilterError(`"${pattern}" is no pattern of a name`);
  }
  return name.replaceAll(".", "\\.").replaceAll("*", ANY_NAME);
}

function oneOf(sources: readonly string[]): (name: string) => boolean {
  const regex = new RegExp(`^(?:${sources.join("|")})$`);
  return (name) => regex.test(name);
}

/** Whether a text has a match of one of the regular expressions. Throws FilterError. */
export function regexes(patterns: readonly string[]): (text: string) => boolean {
  const compiled = patterns.map((pattern) => {
    try {
      return new RegExp(pattern, "u");
    } catch (error) {
      throw new FilterError(`"${pattern}" is no regular expression`, { cause: error });
    }
  });
  return (text) => compiled.some((regex) => regex.test(text));
}
