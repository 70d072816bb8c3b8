/** Tables computed from other tables. */

import { FailureScope } from "./derivation_failures.ts";
import { schedule, settled } from "./schedule.ts";
import type { Table } from "./table.ts";

/** Any table, as the input of a derivation. */
export interface Input {
  readonly name: string;
  level: number;
  watch(listener: () => void): Disposable;
}

/** How a derivation fares. */
export interface DerivationStatus {
  /** The name of its output. */
  name: string;
  runs: number;
  /** How long the last run took, in milliseconds. */
  lastMs: number;
  /** Why the last run failed; the output is then that of the last good run. */
  error: string | undefined;
}

/** A running derivation; dispose of it to stop it. Its output then stays as it is. */
export interface Derivation extends Disposable {
  status(): DerivationStatus;
  /** Resolves when the output stands for all changes made up to now. */
  settled(): Promise<void>;
}

/** By derived table that has a derivation, the tables it is derived from. */
const inputsOf = new Map<Input, readonly Input[]>();
const consumed = new WeakSet<object>();

/** Notes that `output` is derived from `inputs`, and its level. Throws TypeError; see `derive`. */
export function connect(inputs: readonly Input[], output: Input): void {
  if (inputsOf.has(output)) {
    throw new TypeError(`Cannot derive table ${output.name}: it has a derivation already`);
  }
  if (consumed.has(output) || inputs.some((input) => input === output as unknown)) {
    throw new TypeError(
      `Cannot derive table ${output.name}: it feeds a derivation already; derive it first`,
    );
  }
  inputsOf.set(output, inputs);
  for (const input of inputs) consumed.add(input);
  output.level = 1 + Math.max(0, ...inputs.map((input) => input.level));
}

/** Undoes `connect`. */
export function disconnect(output: Input): void {
  inputsOf.delete(output);
}

/** The derived tables, each with the tables it is derived from. */
export function derivedTables(): ReadonlyMap<Input, readonly Input[]> {
  return inputsOf;
}

/**
 * Keeps `output` equal to what `compute` makes of the inputs: once now, and once after each burst of
 * changes to any of them. `compute` reads tables and does nothing else. When it throws, the output
 * stays as it was, and `status` and {@linkcode derivationFailures} say why.
 *
 * Throws TypeError when the output has another derivation or already feeds one: data flows one way.
 */
export function derive<Row>(
  inputs: readonly Input[],
  compute: () => Iterable<Row>,
  output: Table<Row>,
): Derivation {
  connect(inputs, output);
  const failures = new FailureScope(output.name);
  let runs = 0, lastMs = 0;
  let stopped = false;
  const run = () => {
    if (stopped) return;
    const start = performance.now();
    runs++;
    failures.attempt("", () => output.replace(compute()));
    lastMs = performance.now() - start;
  };
  const watches = inputs.map((input) => input.watch(() => schedule(output.level - 0.5, run)));
  run();
  return {
    status: () => ({ name: output.name, runs, lastMs, error: failures.reasons.get("") }),
    settled,
    [Symbol.dispose]() {
      stopped = true;
      disconnect(output);
      failures[Symbol.dispose]();
      for (const watch of watches) watch[Symbol.dispose]();
    },
  };
}
