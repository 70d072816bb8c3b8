/**
 * What derivations and watchers of tables failed to do. A failed group keeps the rows that it had
 * before, which may be older than its inputs, until a later run of it succeeds.
 */

/** One failure that lasts. */
export interface DerivationFailure {
  /** Name of the table that is derived, or that is watched. */
  table: string;
  /** The group or row that failed; empty: the whole table. */
  key: string;
  /** Message of the error. */
  reason: string;
}

/** A failure that began, changed its reason, or ended. */
export type FailureEvent = DerivationFailure & { state: "failed" | "recovered" };

const failing = new Set<FailureScope>();
const totals = new Map<string, number>();
const listeners = new Set<(event: FailureEvent) => void>();

function emit(event: FailureEvent): void {
  for (const listener of listeners) listener(event);
}

/** The failures of one derivation or watcher. Disposing forgets them. */
export class FailureScope implements Disposable {
  readonly table: string;
  #reasons = new Map<string, string>();

  constructor(table: string) {
    this.table = table;
  }

  /** Reasons by key. */
  get reasons(): ReadonlyMap<string, string> {
    return this.#reasons;
  }

  /** Runs `work` for a key. Returns whether it ended without an error; the error is kept here. */
  attempt(key: string, work: () => void): boolean {
    try {
      work();
    } catch (error) {
      this.fail(key, error);
      return false;
    }
    this.clear(key);
    return true;
  }

  fail(key: string, error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error);
    totals.set(this.table, (totals.get(this.table) ?? 0) + 1);
    failing.add(this);
    if (this.#reasons.get(key) === reason) return;
    this.#reasons.set(key, reason);
    emit({ table: this.table, key, reason, state: "failed" });
  }

  clear(key: string): void {
    if (this.#reasons.size === 0) return; // as nearly always: the key's hash is not asked for
    const reason = this.#reasons.get(key);
    if (reason === undefined) return;
    this.#reasons.delete(key);
    if (this.#reasons.size === 0) failing.delete(this);
    emit({ table: this.table, key, reason, state: "recovered" });
  }

  [Symbol.dispose](): void {
    this.#reasons.clear();
    failing.delete(this);
  }
}

/** All failures that last now. */
export function derivationFailures(): DerivationFailure[] {
  return [...failing].flatMap(({ table, reasons }) =>
    [...reasons].map(([key, reason]) => ({ table, key, reason }))
  );
}

/** How often a run or group has failed since the start, by table. */
export function derivationFailureTotals(): ReadonlyMap<string, number> {
  return totals;
}

/** Calls `listener` once for each change of a failure, until disposed of. */
export function watchDerivationFailures(listener: (event: FailureEvent) => void): Disposable {
  const own = (event: FailureEvent) => listener(event);
  listeners.add(own);
  return { [Symbol.dispose]: () => void listeners.delete(own) };
}
