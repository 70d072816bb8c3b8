/** A BPF map as the kernel's side of a reconciler: the rows of the table are the map's entries. */

import { mapFingerprint, type TypedMap } from "../../datapath/bpf/mod.ts";
import { isErrno } from "../../datapath/bpf/kernel_error.ts";
import { attemptEach } from "../core/attempt_each.ts";
import type { ApplyResult, RowFailure, Target } from "../core/reconciler.ts";
import { Table } from "../core/table.ts";

/** One entry of a map. */
export interface MapRow<K, V> {
  key: K;
  value: V;
}

/** A table of map entries; `id` makes a text of a key. */
export function mapTable<K, V>(name: string, id: (key: K) => string): Table<MapRow<K, V>> {
  return new Table({ name, key: ({ key }) => id(key) });
}

/** Options for {@linkcode mapTarget}. */
export interface MapTargetOptions<V> {
  /** For arrays, whose entries cannot be deleted: the value that stands for none, and how to tell it. */
  none?: { value: V; is: (value: V) => boolean };
}

/** All entries of `map` belong to the table. */
export function mapTarget<K, V>(
  map: TypedMap<K, V>,
  { none }: MapTargetOptions<V> = {},
): Target<MapRow<K, V>> {
  return {
    *read() {
      for (const [key, value] of map.entries()) {
        if (!none?.is(value)) yield { key, value };
      }
    },
    fingerprint: () => mapFingerprint(map.raw),
    apply(upserts, deletes): ApplyResult<MapRow<K, V>> {
      // deletes first: they make room for what is added
      if (none) map.setMany(deletes.map(({ key }) => [key, none.value] as const));
      else map.deleteMany(deletes.map(({ key }) => key));
      return { failed: setAll(map, upserts, (row) => [row.key, row.value]) };
    },
  };
}

/** Writes rows in one batch; when the kernel refuses it, one by one, to learn which ones fail. */
export function setAll<Row, K, V>(
  map: TypedMap<K, V>,
  rows: readonly Row[],
  entry: (row: Row) => readonly [K, V],
): RowFailure<Row>[] {
  try {
    map.setMany(rows.map(entry));
    return [];
  } catch (error) {
    if (!isErrno(error, "E2BIG", "ENOMEM", "ENOSPC", "EBUSY", "EAGAIN")) throw error;
  }
  return attemptEach(rows, (row) => {
    try {
      map.set(...entry(row));
    } catch (error) {
      throw isFull(error) ? fullMap(map, error) : error;
    }
  });
}

/** ENOSPC: of a trie. */
function isFull(error: unknown): boolean {
  return isErrno(error, "E2BIG", "ENOSPC");
}

function fullMap<K, V>(map: TypedMap<K, V>, cause: unknown): Error {
  return new Error(
    `Map ${map.name} is full: it has room for ${map.maxEntries} rows; ` +
      `end the agent, remove the map's pin and start it with ` +
      `--map-size ${map.name}=${map.maxEntries * 2}`,
    { cause },
  );
}
