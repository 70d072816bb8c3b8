/** Rows of a table by the groups that they belong to. */

import type { Change } from "./table.ts";

/** Follows the changes that it is given. */
export class GroupIndex<Row> {
  readonly #groupsOf: (row: Row) => readonly string[];
  /** By group, its rows by key; a group's only row without a map, which would weigh 200 bytes. */
  readonly #groups = new Map<string, Map<string, Row> | { key: string; row: Row }>();

  /** @param groupsOf the groups of a row */
  constructor(groupsOf: (row: Row) => readonly string[]) {
    this.#groupsOf = groupsOf;
  }

  has(group: string): boolean {
    return this.#groups.has(group);
  }

  /** The keys of the group's rows, in the order they came to it. */
  keys(group: string): string[] {
    const rows = this.#groups.get(group);
    if (!rows) return [];
    return rows instanceof Map ? [...rows.keys()] : [rows.key];
  }

  /** The group's rows, in the order they came to it. */
  rows(group: string): Row[] {
    const rows = this.#groups.get(group);
    if (!rows) return [];
    return rows instanceof Map ? [...rows.values()] : [rows.row];
  }

  /** Returns the groups of the row before and after. When `groupsOf` throws, nothing has changed. */
  apply(change: Change<Row>): Iterable<string> {
    if (change.kind === "added") {
      // as nearly all are: nothing to compare with
      const groups = this.#groupsOf(change.row);
      for (const group of groups) this.set(group, change.key, change.row);
      return groups;
    }
    const before = this.#groupsOf(change.previous);
    const now = change.kind === "deleted" ? [] : this.#groupsOf(change.row);
    for (const group of before) if (!now.includes(group)) this.delete(group, change.key);
    if (change.kind !== "deleted") {
      for (const group of now) this.set(group, change.key, change.row);
    }
    return new Set([...before, ...now]);
  }

  /** Puts a row into a group; one that is there keeps its place. */
  set(group: string, key: string, row: Row): void {
    const rows = this.#groups.get(group);
    if (!rows || !(rows instanceof Map) && rows.key === key) this.#groups.set(group, { key, row });
    else if (rows instanceof Map) rows.set(key, row);
    else this.#groups.set(group, new Map([[rows.key, rows.row], [key, row]]));
  }

  /** Takes a row out of a group, if it is there. */
  delete(group: string, key: string): void {
    const rows = this.#groups.get(group);
    if (rows instanceof Map) rows.delete(key);
    if (rows instanceof Map ? rows.size === 0 : rows?.key === key) this.#groups.delete(group);
  }
}
