/** Derivations that compute again only what a change affects. */

import { FailureScope } from "./derivation_failures.ts";
import { connect, disconnect, type Input } from "./derive.ts";
import { GroupProblems } from "./group_problems.ts";
import type { Problem } from "./problem.ts";
import { schedule, type Work } from "./schedule.ts";
import type { Change, Table } from "./table.ts";

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
          const net = missed.has(key) ? combine(missed.get(key)!, change) : change;
          const done = failures.attempt(`${table.name}/${key}`, () => {
            if (net) { for (const group of affects(net)) touch(group); }
          });
          if (done) missed.delete(key);
          else missed.set(key, net!);
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
  /** What is wrong when two groups make a row of one key; the one that came first keeps it. */
  conflict?: (loser: Row, owner: Row) => Problem | undefined;
}

/**
 * Keeps `output` equal to the rows of all groups. A group that fails keeps its rows and problems from
 * before until it is computed again; see {@linkcode derivationFailures}. Dispose of it to stop that.
 */
export function deriveGroups<Row>(options: GroupOptions<Row>): Disposable {
  const { inputs, compute, output, problems, conflict } = options;
  const tables = inputs.map(({ table }) => table);
  connect(tables, output);
  if (problems) connect(tables, problems);

  /** By group, the keys of its rows; nothing for a group that owns the row of its name and no other. */
  const keysOf = new Map<string, readonly string[]>();
  /** By key, the group that owns it; nothing when that has the key's name. */
  const ownerOf = new Map<string, string>();
  /** By key that several groups make, their rows; the owner's is the first. */
  const contested = new Map<string, Map<string, Row>>();
  /** Keys whose conflicts may be others than they were. */
  const disputed = new Set<string>();
  const found = problems && new GroupProblems(problems);
  const failures = new FailureScope(output.name);
  let dirty = new Set<string>();
  let first = true;
  let stopped = false;

  const owner = (key: string) => ownerOf.get(key) ?? (output.has(key) ? key : undefined);
  const claim = (group: string, key: string, row: Row) => {
    const before = owner(key);
    let rows = contested.get(key);
    if (!rows && before !== undefined && before !== group) {
      contested.set(key, rows = new Map([[before, output.get(key)!]]));
    }
    rows?.set(group, row);
    if (rows) disputed.add(key);
    if (before === undefined && key !== group) ownerOf.set(key, group);
    if (before === undefined || before === group) output.set(row, key);
  };
  const release = (group: string, key: string) => {
    const rows = contested.get(key);
    rows?.delete(group);
    if (rows) disputed.add(key);
    if (rows?.size === 1) contested.delete(key);
    if (owner(key) !== group) return;
    ownerOf.delete(key);
    const [heir] = rows ?? [];
    if (heir) {
      if (heir[0] !== key) ownerOf.set(key, heir[0]);
      output.set(heir[1], key);
    } else {
      output.delete(key);
    }
  };
  const runGroup = (group: string) => {
    const { rows, problems = [] } = compute(group);
    const [only] = rows;
    // a group that has the row of its name and no other, as most do, and had no other before
    if (
      rows.length === 1 && !keysOf.has(group) && !ownerOf.has(group) && !contested.has(group) &&
      output.keyOf(only!) === group
    ) {
      output.set(only!, group);
      found?.set(group, problems);
      return;
    }
    const made = new Map<string, Row>();
    for (const row of rows) {
      const key = output.keyOf(row);
      if (!made.has(key)) made.set(key, row);
    }
    // nothing below throws: a group changes as a whole or not at all
    const before = keysOf.get(group) ?? (owner(group) === group ? [group] : []);
    for (const [key, row] of made) claim(group, key, row);
    for (const key of before) if (!made.has(key)) release(group, key);
    const plain = made.size === 0 || made.size === 1 && made.has(group) && owner(group) === group;
    if (plain) keysOf.delete(group);
    else keysOf.set(group, [...made.keys()]);
    found?.set(group, problems);
  };
  const run: Work = (slice) => {
    if (stopped) return;
    // who is there when we begin has no age: the order of names decides
    if (first) dirty = new Set([...dirty].sort());
    first = false;
    for (const group of dirty) {
      dirty.delete(group);
      failures.attempt(group, () => runGroup(group));
      if (slice.over) break;
    }
    if (dirty.size > 0) return schedule(output.level - 0.5, run);
    for (const key of disputed) {
      // no group has a name that begins so
      const name = `\0${key}`;
      if (failures.attempt(name, () => found?.set(name, conflicts(key)))) disputed.delete(key);
    }
  };
  const conflicts = (key: string) => {
    const [owner, ...losers] = contested.get(key)?.values() ?? [];
    return losers.flatMap((loser) => conflict?.(loser, owner!) ?? []);
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
