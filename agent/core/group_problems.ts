/** What the groups of a derivation find wrong, as one table. */

import type { Problem } from "./problem.ts";
import type { Table } from "./table.ts";

/** Keeps a table equal to the problems of all groups, by difference. */
export class GroupProblems {
  readonly #table: Table<Problem>;
  readonly #of = new Map<string, readonly string[]>();
  /** By key, how many groups have found it. */
  readonly #found = new Map<string, number>();

  /** @param table filled by nothing else */
  constructor(table: Table<Problem>) {
    this.#table = table;
  }

  /** Makes `problems` all that is wrong with the group. */
  set(group: string, problems: readonly Problem[]): void {
    const before = this.#of.get(group) ?? [];
    if (problems.length === 0 && before.length === 0) return;
    const now = new Map(problems.map((problem) => [this.#table.keyOf(problem), problem]));
    for (const [key, problem] of now) {
      this.#table.set(problem, key);
      this.#found.set(key, (this.#found.get(key) ?? 0) + 1);
    }
    for (const key of before) {
      const left = this.#found.get(key)! - 1;
      if (left > 0) this.#found.set(key, left);
      else {
        this.#found.delete(key);
        this.#table.delete(key);
      }
    }
    if (now.size > 0) this.#of.set(group, [...now.keys()]);
    else this.#of.delete(group);
  }
}
