/**
 * Brings one kernel thing (a map, a route table) to what a table says and keeps it there. Nothing
 * else writes to that thing.
 */

import { type Lapse, Lapses } from "./lapses.ts";
import type { Timer } from "./timer.ts";
import { Runner } from "./runner.ts";
import { settled } from "./schedule.ts";
import type { Table } from "./table.ts";
import { TimeSlice } from "./time_slice.ts";

/** A row that a target could not apply. */
export interface RowFailure<Row> {
  row: Row;
  error: Error;
}

/** What came of applying a batch: the rows that are not named succeeded. */
export interface ApplyResult<Row> {
  failed: RowFailure<Row>[];
}

/** The kernel's side of a reconciler. */
export interface Target<Row> {
  /** The rows that the kernel has and that this target owns; null when it cannot list them. */
  read(): Iterable<Row> | null;
  /**
   * A text that stays the same as long as what `read` gives is not changed; undefined when that is
   * unknown. It spares the full comparison.
   */
  fingerprint?(): string | undefined;
  /**
   * Adds or replaces `upserts` and removes `deletes`; removing what is not there is no failure.
   * Throwing fails the whole batch.
   */
  apply(upserts: Row[], deletes: Row[]): ApplyResult<Row> | Promise<ApplyResult<Row>>;
}

/** Options for a {@linkcode Reconciler}. */
export interface ReconcilerOptions<Row> {
  /** Shown in status. */
  name: string;
  desired: Table<Row>;
  target: Target<Row>;
  /**
   * Whether the kernel's row says what the desired one wants.
   *
   * @default {the table's equality}
   */
  matches?: (desired: Row, actual: Row) => boolean;
  /** Rows applied in one call. @default {1024} */
  batchSize?: number;
  /**
   * Milliseconds before a failed row is tried again; doubled with each failure.
   *
   * @default {100}
   */
  minBackoffMs?: number;
  /** @default {30_000} */
  maxBackoffMs?: number;
  /** Milliseconds between full comparisons with the kernel. @default {30_000} */
  repairIntervalMs?: number;
  /** Whether a node with rows in error takes no new pods. @default {true} */
  vital?: boolean;
  /**
   * When an earlier run last found the kernel as desired, and the keys of what was changed since then:
   * the rows among them that are desired still are a lapse.
   */
  earlier?: { at: Date; changed: readonly string[] };
}

/** How a row fares: `done` when the kernel has it as desired. */
export type RowStatus =
  | { state: "pending" }
  | { state: "done" }
  | { state: "error"; reason: string; attempts: number };

/** How a reconciler fares. */
export interface ReconcilerStatus {
  name: string;
  /** Desired rows. */
  rows: number;
  /** Rows still to be applied or removed, those in error among them. */
  pending: number;
  errors: number;
  /** When everything was last as desired. */
  lastSync: Date | undefined;
  lastError: { at: Date; key: string; reason: string } | undefined;
  /** Rows that a comparison found changed behind our back, and that were put right. */
  repairs: number;
  vital: boolean;
  /** When that was, the last times, oldest first. */
  lapses: readonly Lapse[];
}

/** Rows that could not be applied. */
export class ReconcileError extends Error {
  override name = "ReconcileError";
  /** Reason by row key. */
  readonly failures: ReadonlyMap<string, string>;

  constructor(reconciler: string, failures: ReadonlyMap<string, string>) {
    const [[key, reason] = ["", ""]] = failures;
    const more = failures.size > 1 ? ` (and ${failures.size - 1} more)` : "";
    super(`Cannot apply ${reconciler} row ${key}: ${reason}${more}`);
    this.failures = failures;
  }
}

interface Failure {
  attempts: number;
  reason: string;
  /** In the clock of performance.now(). */
  retryAt: number;
}

/**
 * See the module. `start` it when the desired table is complete: what the kernel has and the table
 * has not is removed. `stop` it to leave the kernel as it is.
 */
export class Reconciler<Row> implements AsyncDisposable {
  readonly name: string;
  #desired: Table<Row>;
  #target: Target<Row>;
  #matches: (desired: Row, actual: Row) => boolean;
  #batchSize: number;
  #minBackoffMs: number;
  #maxBackoffMs: number;
  #repairIntervalMs: number;
  readonly #vital: boolean;
  readonly #earlier: ReconcilerOptions<Row>["earlier"];

  /** What the kernel may have and the table does not. */
  #strays = new Map<string, Row>();
  /** The target's fingerprint when a comparison last found everything as desired. */
  #known: string | undefined;
  #compared = false;
  #dirty = new Set<string>();
  #failures = new Map<string, Failure>();
  readonly #runner: Runner;
  #retryTimer: Timer | undefined;
  #repairTimer: Timer | undefined;
  #watch: Disposable | undefined;
  #stopped = false;
  #repairs = 0;
  readonly #lapses = new Lapses();
  /** When the comparison before this one began. */
  #comparedAt = new Date();
  #lastSync: Date | undefined;
  #lastError: ReconcilerStatus["lastError"];

  constructor(options: ReconcilerOptions<Row>) {
    const { name, desired, target, batchSize = 1024 } = options;
    if (batchSize < 1) throw new RangeError(`A batch has at least one row, not ${batchSize}`);
    this.name = name;
    this.#runner = new Runner(name, () => this.#pass());
    this.#desired = desired;
    this.#target = target;
    this.#matches = options.matches ?? ((a, b) => desired.equal(a, b));
    this.#batchSize = batchSize;
    this.#minBackoffMs = options.minBackoffMs ?? 100;
    this.#maxBackoffMs = options.maxBackoffMs ?? 30_000;
    this.#repairIntervalMs = options.repairIntervalMs ?? 30_000;
    this.#vital = options.vital ?? true;
    this.#earlier = options.earlier;
  }

  /**
   * Takes over what the kernel has, brings it to the desired rows, and keeps it there until `stop`.
   * Resolves after the first pass, whether or not every row could be applied.
   */
  async start(): Promise<void> {
    if (this.#watch) throw new TypeError(`Reconciler ${this.name} has been started already`);
    await settled();
    this.#watch = this.#desired.watch((changes) => {
      for (const change of changes) {
        const { key } = change;
        this.#dirty.add(key);
        this.#failures.delete(key);
        if (change.kind === "deleted") this.#strays.set(key, change.previous);
        else this.#strays.delete(key);
      }
      this.#runner.request();
    });
    for (const key of this.#desired.keys()) this.#dirty.add(key);
    if (this.#earlier) {
      const { at, changed } = this.#earlier;
      this.#lapsed(at, changed.filter((key) => this.#desired.has(key)));
    }
    this.#adopt();
    await this.#runner.run();
    this.#repairTimer = setInterval(() => void this.repair(), this.#repairIntervalMs);
  }

  /** Stops after the batch under way. The kernel keeps what it has. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#watch?.[Symbol.dispose]();
    clearTimeout(this.#retryTimer);
    clearInterval(this.#repairTimer);
    await this.#runner.stop();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  /**
   * Resolves when the rows of `keys` (default: all) are in the kernel as they are desired now, or
   * gone from it when they are not desired. Rows in back-off are tried at once. Throws
   * {@linkcode ReconcileError} when some of them could not be applied, TypeError when it is not running.
   */
  async flush(keys?: Iterable<string>): Promise<void> {
    const wanted = keys ? new Set(keys) : undefined;
    await settled();
    if (!this.#watch || this.#stopped) {
      throw new TypeError(`Cannot flush reconciler ${this.name}: it is not running`);
    }
    for (const [key, failure] of this.#failures) {
      if (!wanted || wanted.has(key)) failure.retryAt = 0;
    }
    await this.#runner.run();
    const failures = new Map<string, string>();
    for (const key of wanted ?? this.#failures.keys()) {
      const reason = this.#failures.get(key)?.reason;
      if (reason !== undefined) failures.set(key, reason);
    }
    if (failures.size > 0) throw new ReconcileError(this.name, failures);
  }

  /** Compares the kernel with the table now and puts right what differs. Returns the number of rows put right. */
  async repair(): Promise<number> {
    await settled();
    let found = 0;
    await this.#runner.enqueue(() => {
      const since = this.#comparedAt;
      const rows = this.#adopt() ?? [];
      found = rows.length;
      this.#lapsed(since, rows);
      return this.#pass();
    });
    return found;
  }

  status(): ReconcilerStatus {
    return {
      name: this.name,
      rows: this.#desired.size,
      pending: this.#dirty.size,
      errors: this.#failures.size,
      lastSync: this.#lastSync,
      lastError: this.#lastError,
      repairs: this.#repairs,
      vital: this.#vital,
      lapses: this.#lapses.list(),
    };
  }

  /** How the row of that key fares; undefined when it is neither desired nor still to be removed. */
  rowStatus(key: string): RowStatus | undefined {
    const failure = this.#failures.get(key);
    if (failure) return { state: "error", reason: failure.reason, attempts: failure.attempts };
    if (this.#dirty.has(key)) return { state: "pending" };
    return this.#desired.has(key) ? { state: "done" } : undefined;
  }

  #lapsed(since: Date, rows: readonly string[]): void {
    if (rows.length === 0) return;
    this.#repairs += rows.length;
    this.#lapses.open(since, rows);
  }

  /**
   * Reads the kernel; marks what differs from the desired rows. Returns the keys of those that did
   * unexpectedly; undefined when the kernel cannot be read.
   */
  #adopt(): string[] | undefined {
    const found: string[] = [];
    this.#comparedAt = new Date();
    const calm = () => this.#dirty.size === 0 && this.#failures.size === 0;
    // not at the start, which others wait for
    const fingerprint = this.#compared ? this.#fingerprint() : undefined;
    this.#compared = true;
    if (fingerprint !== undefined && fingerprint === this.#known && calm()) return found;
    const note = (key: string, right: boolean) => {
      if (right) {
        this.#dirty.delete(key);
        this.#failures.delete(key);
      } else if (!this.#dirty.has(key)) {
        this.#dirty.add(key);
        found.push(key);
      }
    };
    const missing = new Set(this.#desired.keys());
    const strays = new Map<string, Row>();
    try {
      const rows = this.#target.read();
      if (rows === null) return undefined;
      for (const row of rows) {
        const key = this.#desired.keyOf(row);
        const wanted = this.#desired.get(key);
        missing.delete(key);
        if (wanted === undefined) strays.set(key, row);
        note(key, wanted !== undefined && this.#matches(wanted, row));
      }
    } catch (error) {
      this.#noteError("(reading)", reasonOf(error));
      return undefined;
    }
    for (const key of missing) note(key, false);
    for (const key of this.#strays.keys()) if (!strays.has(key)) note(key, true);
    this.#strays = strays;
    this.#known = calm() ? fingerprint : undefined;
    return found;
  }

  #fingerprint(): string | undefined {
    try {
      return this.#target.fingerprint?.();
    } catch {
      return undefined; // reading will say why
    }
  }

  async #pass(): Promise<void> {
    const now = performance.now(), slice = new TimeSlice();
    const due = [...this.#dirty].filter((key) => (this.#failures.get(key)?.retryAt ?? 0) <= now);
    for (let i = 0; i < due.length && !this.#stopped; i += this.#batchSize) {
      if (slice.over) await slice.next();
      await this.#applyBatch(due.slice(i, i + this.#batchSize));
    }
    if (!this.#stopped) this.#armRetry();
    this.#noteSync();
  }

  async #applyBatch(keys: string[]): Promise<void> {
    const upserts: Row[] = [];
    const deletes: Row[] = [];
    for (const key of keys) {
      const wanted = this.#desired.get(key);
      const stray = this.#strays.get(key);
      if (wanted !== undefined) upserts.push(wanted);
      else if (stray !== undefined) deletes.push(stray);
    }
    for (const key of keys) this.#dirty.delete(key);
    let failed: RowFailure<Row>[];
    try {
      failed = upserts.length + deletes.length === 0
        ? []
        : (await this.#target.apply(upserts, deletes)).failed;
    } catch (error) {
      const cause = error instanceof Error ? error : new Error(String(error));
      failed = [...upserts, ...deletes].map((row) => ({ row, error: cause }));
    }
    const reasons = new Map(
      failed.map(({ row, error }) => [this.#desired.keyOf(row), error.message]),
    );
    for (const row of deletes) {
      const key = this.#desired.keyOf(row);
      if (!reasons.has(key) && this.#strays.get(key) === row) this.#strays.delete(key);
    }
    for (const key of keys) {
      const reason = reasons.get(key);
      if (reason === undefined) {
        this.#failures.delete(key);
        continue;
      }
      const attempts = (this.#failures.get(key)?.attempts ?? 0) + 1;
      const wait = Math.min(this.#maxBackoffMs, this.#minBackoffMs * 2 ** (attempts - 1));
      this.#failures.set(key, { attempts, reason, retryAt: performance.now() + wait });
      this.#dirty.add(key);
      this.#noteError(key, reason);
    }
  }

  #armRetry(): void {
    clearTimeout(this.#retryTimer);
    let earliest = Infinity;
    for (const { retryAt } of this.#failures.values()) earliest = Math.min(earliest, retryAt);
    if (earliest === Infinity) return;
    const wait = Math.max(1, Math.ceil(earliest - performance.now()));
    this.#retryTimer = setTimeout(() => this.#runner.request(), wait);
  }

  #noteSync(): void {
    if (this.#dirty.size > 0) return;
    this.#lastSync = new Date();
    this.#lapses.close(this.#lastSync);
  }

  #noteError(key: string, reason: string): void {
    this.#lastError = { at: new Date(), key, reason };
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
