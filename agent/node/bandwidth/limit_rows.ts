/** Which endpoints of the node have a bandwidth, derived from the annotations of their Pods. */

import { type Endpoint, podKey } from "../../api/endpoint.ts";
import { deriveGroups, groupInput, rowsOf } from "../../core/derive_groups.ts";
import { type Problem, problemTable } from "../../core/problem.ts";
import { Table } from "../../core/table.ts";
import type { Pod } from "../../kubernetes/resources.ts";
import { hasLimits, type Limits, limitsOf } from "./limits.ts";

/** Of an endpoint. */
export interface LimitRow extends Limits {
  /** Of the host's side. */
  ifindex: number;
  /** As people call it. */
  pod: string;
}

/** Wires the derivation. Dispose of it to stop that. */
export function deriveLimits(
  { endpoints, pods }: { endpoints: Table<Endpoint>; pods: Table<Pod> },
): {
  limits: Table<LimitRow>;
  problems: Table<Problem>;
} & Disposable {
  const limits = new Table<LimitRow>({ name: "bandwidth", key: ({ ifindex }) => String(ifindex) });
  const problems = problemTable("bandwidth-problems");
  const derivation = deriveGroups<LimitRow>({
    inputs: [
      groupInput(endpoints, (change) => [...rowsOf(change)].flatMap((row) => podKey(row) ?? [])),
      groupInput(pods, (change) => [...rowsOf(change)].some(hasLimits) ? [change.key] : []),
    ],
    output: limits,
    problems,
    compute(key) {
      const pod = pods.get(key);
      const own = endpoints.rows()
        .filter((endpoint) => endpoint.hostIfindex > 0 && podKey(endpoint) === key);
      if (!pod || own.length === 0) return { rows: [] };
      const problems: Problem[] = [];
      const found = limitsOf(pod, (message) => problems.push({ source: `Pod ${key}`, message }));
      const rows = found.egress || found.ingress
        ? own.map(({ hostIfindex }) => ({ ...found, ifindex: hostIfindex, pod: key }))
        : [];
      return { rows, problems };
    },
  });
  return { limits, problems, [Symbol.dispose]: () => derivation[Symbol.dispose]() };
}
