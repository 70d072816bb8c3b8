/** Compares what pilus and Kubernetes say of texts. */

import { parseManifest } from "../../agent/kubernetes/manifest.ts";
import type { Resource, SliceEndpoints } from "../../agent/kubernetes/resources.ts";
import { unpackEndpoints } from "../../agent/kubernetes/slice_endpoints.ts";
import { OTHER_VALUES } from "./differences.ts";
import type { Fault, Oracle } from "./oracle.ts";

/**
 * On a text: `a` accepts; `r` refuses; `-` refuses for what pilus need not refuse; `?` the same, and it
 * has looked no further.
 */
export type Verdict = "a" | "r" | "-" | "?";

/** The verdict of who has found these faults. */
export function verdictOf({ alone }: Oracle, faults: readonly Fault[]): Verdict {
  if (faults.length === 0) return "a";
  const isOther = ({ field, detail }: Fault) =>
    alone.some(({ fault }) => fault.test(field ? `${field}: ${detail}` : detail));
  if (!faults.every(isOther)) return "r";
  return faults.some(({ field }) => field === undefined) ? "?" : "-";
}

/** How pilus' verdict differs from the one that the oracle's asks for; undefined when it does not. */
export function difference(
  { takes }: Oracle,
  text: string,
  verdict: Verdict,
): string | undefined {
  if (verdict === "?") return undefined;
  const messages = parseManifest(text).problems.map(({ line, message }) => `${line}: ${message}`);
  if (verdict === "r") return messages.length > 0 ? undefined : "pilus accepts it";
  const isWrong = (message: string) => !takes.some((each) => each.message.test(message));
  const wrong = messages.filter(isWrong);
  return wrong.length > 0 ? `pilus refuses it: ${wrong.join("; ")}` : undefined;
}

/** The first value that pilus has read in another way than Kubernetes, of a text that both accept. */
export function otherValue(
  text: string,
  objects: readonly Record<string, unknown>[],
): string | undefined {
  const { resources, problems } = parseManifest(text);
  if (problems.length > 0) return undefined;
  if (resources.length !== objects.length) {
    return `pilus has read ${resources.length} resources, Kubernetes ${objects.length}`;
  }
  for (const [i, { resource }] of resources.entries()) {
    const differs = otherPart(unpacked(resource), objects[i], resource.kind);
    if (differs) return differs;
  }
  return undefined;
}

/** As users write it. */
function unpacked(resource: Resource): Record<string, unknown> {
  const { metadata: { namespace, ...metadata }, ...rest } = resource as Resource & {
    endpoints?: SliceEndpoints;
  };
  const endpoints = rest.endpoints && unpackEndpoints(rest.endpoints);
  return {
    ...rest,
    metadata: namespace === "default" ? metadata : { namespace, ...metadata },
    ...(endpoints ? { endpoints } : {}),
  };
}

/** Kubernetes has defaults in the place of what is missing, empty or 0. */
function otherPart(pilus: unknown, kubernetes: unknown, path: string): string | undefined {
  if (typeof pilus !== "object" || pilus === null) {
    const same = pilus === kubernetes || pilus === null || pilus === "" || pilus === 0 ||
      pilus === false && kubernetes === undefined;
    return same
      ? undefined
      : `${path} is ${JSON.stringify(pilus)}, for Kubernetes ${JSON.stringify(kubernetes)}`;
  }
  for (const [name, value] of Object.entries(pilus)) {
    if (OTHER_VALUES.some(({ path: other }) => other.test(`${path}.${name}`))) continue;
    const other = (kubernetes as Record<string, unknown> | undefined)?.[name];
    const differs = otherPart(value, other, `${path}.${name}`);
    if (differs) return differs;
  }
  return undefined;
}
