/** Compares what pilus and Kubernetes say of texts. */

import { parseManifest } from "../../agent/kubernetes/manifest.ts";
import { KUBERNETES_ONLY, PILUS_ONLY } from "./differences.ts";
import type { Fault } from "./kubernetes.ts";

/**
 * On a text: `a` accepts; `r` refuses; `-` refuses for what pilus need not refuse; `?` the same, and it
 * has looked no further.
 */
export type Verdict = "a" | "r" | "-" | "?";

const isOther = ({ field, detail }: Fault) =>
  KUBERNETES_ONLY.some(({ fault }) => fault.test(field ? `${field}: ${detail}` : detail));

/** Kubernetes' verdict, of its faults. */
export function verdictOf(faults: readonly Fault[]): Verdict {
  if (faults.length === 0) return "a";
  if (!faults.every(isOther)) return "r";
  return faults.some(({ field }) => field === undefined) ? "?" : "-";
}

/** How pilus' verdict differs from the one that Kubernetes' asks for; undefined when it does not. */
export function difference(text: string, verdict: Verdict): string | undefined {
  if (verdict === "?") return undefined;
  const messages = parseManifest(text).problems.map(({ line, message }) => `${line}: ${message}`);
  if (verdict === "r") return messages.length > 0 ? undefined : "pilus accepts it";
  const isWrong = (message: string) => !PILUS_ONLY.some((each) => each.message.test(message));
  const wrong = messages.filter(isWrong);
  return wrong.length > 0 ? `pilus refuses it: ${wrong.join("; ")}` : undefined;
}
