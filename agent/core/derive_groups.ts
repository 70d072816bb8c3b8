/** Derivations that compute again only what a change affects. */

import { FailureScope } from "./derivation_failures.ts";
import { connect, disconnect, type Input } from "./derive.ts";
import { GroupProblems } from "./group_problems.ts";
import type { Problem } from "./problem.ts";
import { schedule, type Work } from "./schedule.ts";
import type { Change, Table } from "./table.ts";

/** Groups between looks at the clock. */
const GROUPS = 8;

/** What one group makes. */
export interface GroupResult<Row> {
  rows: readonly Row[];
  problems?: readonly Problem[];
}

/** A table, and the groups that a change of it affects. */
export interface GroupInput {
  table: Input;
  /**
   * Calls `touch` with each affected group; first for all that is there, then for each change. A
   * change whose groups cannot be found goes to `failures` and is tried again with the row's next one.
   */
  watch(touch: (group: string) => void, failures: FailureScope): Disposable;
}

/**
 * An input whose rows affect the groups that `affects` names. When `affects` keeps an index, it must
 * change that after everything that may throw.
 */
export function groupInput<Row>(
  table: Table<Row>,
  affects: (change: Change<Row>) => Iterable<string>,
): GroupInput {
  return {
    table,
    watch(touch, failures) {
      const missed = new Map<string, Change<Row>>();
      const receive = (changes: readonly Change<Row>[]) => {
        for (const change of changes) {
          const { key } = change;
          const before = missed.get(key);
          const net = before ? combine(before, change) : change;
          try {
            if (net) { for (const group of affects(net)) touch(group); }
          } catch (error) {
            missed.set(key, net!);
            failures.fail(`${table.name}/${key}`, error);
            continue;
          }
          if (before && missed.delete(key)) failures.clear(`${table.name}/${key}`);
        }
      };
      const watch = table.watch(receive);
      receive(table.rows().map((row) => ({ kind: "added", key: table.keyOf(row), row })));
      return watch;
    },
  };
}

/** Two changes of a row as one; undefined when it came and went. */
function combine<Row>(first: Change<Row>, second: Change<Row>): Change<Row> | undefined {
  const { key } = second;
  if (first.kind === "added") {
    return second.kind === "deleted" ? undefined : { kind: "added", key, row: second.row };
  }
  const { previous } = first;
  return second.kind === "deleted"
    ? { kind: "deleted", key, previous }
    : { kind: "updated", key, row: second.row, previous };
}

/** The row before and the row after a change, as far as there are any. */
export function* rowsOf<Row>(change: Change<Row>): Generator<Row> {
  if (change.kind !== "added") yield change.previous;
  if (change.kind !== "deleted") yield change.row;
}

export interface GroupOptions<Row> {
  inputs: readonly GroupInput[];
  /** Reads tables and does nothing else. A group that has gone makes no rows. */
  compute: (group: string) => GroupResult<Row>;
  output: Table<Row>;
  problems?: Table<Problem>;
  /**
   * Which of two groups that make a row of one key has it, whichever came first: negative when it is
   * `a`. Follows from what the groups are computed of. @default by name
   */
  precedence?: (a: string, b: string) => number;
  /** What is wrong with the rows of the others. */
  conflict?: (loser: Row, owner: Row) => Problem | undefined;
}

const byName = (a: string, b: string) => a < b ? -1 : 1;

/**
 * Keeps `output` equal to the rows of all groups. A group that fails keeps its rows and problems from
 * before until it is computed again; see {@linkcode derivationFailures}. Dispose of it to stop that.
 */
export function deriveGroups<Row>(options: GroupOptions<Row>): Disposable {
  const { inputs, compute, output, problems, precedence = byName, conflict } = options;
  const tables = inputs.map(({ table }) => table);
  connect(tables, output);
  if (problems) connect(tables, problems);

  /** By group, the keys of its rows; nothing for a group that makes the row of its name and no other. */
  const keysOf = new Map<string, readonly string[]>();
  /** By key, the group that owns it; nothing when that has the key's name. */
  const ownerOf = new Map<string, string>();
  /** By key that several groups make, their rows. */
  const contested = new Map<string, Map<string, Row>>();
  /** Keys whose conflicts may be others than they were. */
  const disputed = new Set<string>();
  const found = problems && new GroupProblems(problems);
  const failures = new FailureScope(output.name);
  const dirty = new Set<string>();
  let stopped = false;

  const owner = (key: string) => ownerOf.get(key) ?? (output.has(key) ? key : undefined);
  const own = (group: string, key: string, row: Row) => {
    if (group === key) ownerOf.delete(key);
    else ownerOf.set(key, group);
    output.set(row, key);
  };
  /** Of several groups the one with precedence has the row. */
  const settle = (key: string, rows: Map<string, Row>) => {
    const [group] = [...rows.keys()].sort(precedence);
    if (group !== undefined) own(group, key, rows.get(group)!);
    if (rows.size < 2) contested.delete(key);
    disputed.add(key);
  };
  const claim = (group: string, key: string, row: Row) => {
    const before = owner(key);
    let rows = contested.get(key);
    if (!rows && before !== undefined && before !== group) {
      contested.set(key, rows = new Map([[before, output.get(key)!]]));
    }
    if (!rows) return own(group, key, row);
    rows.set(group, row);
    settle(key, rows);
  };
  const release = (group: string, key: string) => {
    const rows = contested.get(key);
    if (rows) {
      rows.delete(group);
      return settle(key, rows);
    }
    if (owner(key) !== group) return;
    ownerOf.delete(key);
    output.delete(key);
  };
  const isOnly = (group: string, rows: readonly Row[]) =>
    rows.length === 1 && output.keyOf(rows[0]!) === group;
  const runGroup = (group: string) => {
    const { rows, problems = [] } = compute(group);
    // most have the row of their name and no other, or none at all, and had no other before
    const plainBefore = !keysOf.has(group) && !ownerOf.has(group) && !contested.has(group);
    if (plainBefore && (rows.length > 0 ? isOnly(group, rows) : !output.has(group))) {
      if (rows.length > 0) output.set(rows[0]!, group);
      found?.set(group, problems);
      return;
    }
    const made = new Map<string, Row>();
    for (const row of rows) {
      const key = output.keyOf(row);
      if (!made.has(key)) made.set(key, row);
    }
    // nothing below throws: a group changes as a whole or not at all
    const hasOwn = owner(group) === group || contested.get(group)?.has(group);
    const before = keysOf.get(group) ?? (hasOwn ? [group] : []);
    for (const [key, row] of made) claim(group, key, row);
    for (const key of before) if (!made.has(key)) release(group, key);
    const plain = made.size === 0 || made.size === 1 && made.has(group) && owner(group) === group;
    if (plain) keysOf.delete(group);
    else keysOf.set(group, [...made.keys()]);
    found?.set(group, problems);
  };
  const run: Work = (slice) => {
    if (stopped) return;
    let ran = 0;
    for (const group of dirty) {
      dirty.delete(group);
      failures.attempt(group, () => runGroup(group));
      if (++ran % GROUPS === 0 && slice.over) break;
    }
    if (dirty.size > 0) return schedule(output.level - 0.5, run);
    for (const key of disputed) {
      // no group has a name that begins so
      const name = `\0${key}`;
      if (failures.attempt(name, () => found?.set(name, conflicts(key)))) disputed.delete(key);
    }
  };
  const conflicts = (key: string) => {
    const rows = contested.get(key), first = owner(key);
    if (!rows || !conflict) return [];
    const losers = [...rows].filter(([group]) => group !== first);
    return losers.flatMap(([, row]) => conflict(row, rows.get(first!)!) ?? []);
  };
  const touch = (group: string) => {
    dirty.add(group);
    schedule(output.level - 0.5, run);
  };
  const watches = inputs.map((input) => input.watch(touch, failures));
  return {
    [Symbol.dispose]() {
      stopped = true;
      failures[Symbol.dispose]();
      disconnect(output);
      if (problems) disconnect(problems);
      for (const watch of watches) watch[Symbol.dispose]();
    },
  };
}
