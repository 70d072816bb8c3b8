/** Selectors of labels as kubectl has them, with the source of a label before its key: `k8s:app=web`. */

import { FilterError } from "./filter_error.ts";

type LabelTest = (labels: ReadonlyMap<string, string>) => boolean;

/** Labels by key, with their source and without: `k8s:app` and `any:app`. */
function labelMap(labels: readonly string[]): Map<string, string> {
  const map = new Map<string, string>();
  for (const label of labels) {
    const equals = label.indexOf("=");
    const key = equals < 0 ? label : label.slice(0, equals);
    const value = equals < 0 ? "" : label.slice(equals + 1);
    map.set(key, value);
    map.set(`any:${key.slice(key.indexOf(":") + 1)}`, value);
  }
  return map;
}

/** Whether labels, as `source:key=value`, fit one of the selectors. Throws FilterError. */
export function labelSelectors(
  selectors: readonly string[],
): (labels: readonly string[]) => boolean {
  const tests = selectors.map((selector) =>
    parts(selector).map((part) => requirement(selector, part))
  );
  // the labels of an end are the same array for many flows
  const answers = new WeakMap<readonly string[], boolean>();
  return (labels) => {
    let answer = answers.get(labels);
    if (answer === undefined) {
      const map = labelMap(labels);
      answer = tests.some((all) => all.every((test) => test(map)));
      answers.set(labels, answer);
    }
    return answer;
  };
}

/** The requirements of a selector: at commas outside of parentheses. */
function parts(selector: string): string[] {
  return selector.split(/,(?![^(]*\))/).map((part) => part.trim());
}

const KEY = String.raw`((?:[a-zA-Z0-9_.-]+:)?[a-zA-Z0-9][a-zA-Z0-9_./:-]*)`;
const VALUE = String.raw`([a-zA-Z0-9_.:-]*)`;
const EQUAL = new RegExp(`^${KEY}\\s*(==|=|!=)\\s*${VALUE}$`);
const IN_SET = new RegExp(`^${KEY}\\s+(in|notin)\\s*\\(([^()]*)\\)$`);
const PRESENT = new RegExp(`^(!?)\\s*${KEY}$`);

function requirement(selector: string, part: string): LabelTest {
  const equal = EQUAL.exec(part);
  if (equal) {
    const key = withSource(equal[1]!), value = equal[3]!;
    return equal[2] === "!="
      ? (labels) => labels.get(key) !== value
      : (labels) => labels.get(key) === value;
  }
  const inSet = IN_SET.exec(part);
  if (inSet) {
    const key = withSource(inSet[1]!), values = inSet[3]!.split(",").map((value) => value.trim());
    const has = (labels: ReadonlyMap<string, string>) =>
      labels.has(key) && values.includes(labels.get(key)!);
    return inSet[2] === "in" ? has : (labels) => !has(labels);
  }
  const present = PRESENT.exec(part);
  if (!present) throw new FilterError(`"${selector}" is no selector of labels`);
  const key = withSource(present[2]!);
  return present[1] === "!" ? (labels) => !labels.has(key) : (labels) => labels.has(key);
}

function withSource(key: string): string {
  return key.includes(":") ? key : `any:${key}`;
}
