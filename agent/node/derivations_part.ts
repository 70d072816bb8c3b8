/** Derivations that failed: their tables keep the rows from before, and that is a fault. */

import {
  derivationFailures,
  derivationFailureTotals,
  watchDerivationFailures,
} from "../core/derivation_failures.ts";
import type { Log } from "../core/log.ts";
import { derivationProblems } from "../core/problem.ts";
import { counter } from "./metrics.ts";
import type { Part } from "./part.ts";

/** Watches every derivation of the process. To be made before the first of them. */
export function derivationsPart({ log }: { log: Log }): Part {
  const watch = watchDerivationFailures(({ state, ...failure }) => {
    if (state === "failed") log.error("derivation failed, rows from before stay", failure);
    else log.info("derivation recovered", { table: failure.table, key: failure.key });
  });
  return {
    name: "derivations",
    problems: [{ rows: derivationProblems }],
    metrics: () =>
      [...derivationFailureTotals()].map(([table, count]) => {
        const help = "Runs that failed and kept the rows from before";
        return counter("derivation_failures_total", help, count, { table });
      }),
    health() {
      const [first] = derivationFailures();
      return first &&
        `table ${first.table} not derived${first.key && ` for ${first.key}`}: ${first.reason}`;
    },
    [Symbol.asyncDispose]: () => Promise.resolve(watch[Symbol.dispose]()),
  };
}
