/**
 * The endpoints that a node publishes as files, in a folder of its own: some of them in each file, so
 * that a change is one small write, and a cluster's are not as many files as there are pods.
 */

import { join } from "@std/path";
import { attemptEach } from "../../core/attempt_each.ts";
import { readBounded } from "../../core/bounded_file.ts";
import { removeIfThere } from "../../core/missing_files.ts";
import type { ApplyResult, RowFailure, Target } from "../../core/reconciler.ts";
import { writeWhole } from "../../core/whole_file.ts";
import { checkNames } from "../checked_names.ts";
import { type PublishedEndpoint, publishedEndpointKey } from "../rows.ts";
import { batchFileName, batchNumberOf, checkedFolder, isOwnFileName } from "./paths.ts";
import {
  batchText,
  endpointRow,
  endpointText,
  MAX_PUBLISHED_BYTES,
  readPublished,
} from "./published.ts";

/** Endpoints of a file, and characters after which it takes no more. */
const BATCH_ROWS = 64, BATCH_LENGTH = 128 * 1024;

/** What a file has: by key, the text of an endpoint. */
type Batch = Map<string, string>;

/** A target for a reconciler. Files that are not of its own form are left alone. */
export class EndpointFiles implements Target<PublishedEndpoint> {
  readonly #directory: string;
  readonly #node: string;
  /** By number of the file, what it has or is to have. */
  readonly #batches = new Map<number, Batch>();
  /** By key, the number of its file. */
  readonly #batchOf = new Map<string, number>();

  /** Throws TypeError when the node's name is not a name of the API. */
  constructor(directory: string, node: string) {
    this.#directory = directory;
    this.#node = node;
    checkedFolder(directory, ["endpoints", node]);
  }

  read(): PublishedEndpoint[] {
    const folder = this.#folder();
    const rows: PublishedEndpoint[] = [];
    this.#batches.clear();
    this.#batchOf.clear();
    for (const { name, isFile } of Deno.readDirSync(folder)) {
      const path = join(folder, name);
      if (!isFile || !isOwnFileName(name)) continue;
      const number = batchNumberOf(name);
      const found = number === undefined ? [] : rowsOf(path);
      const fresh = found.filter((row) => !this.#batchOf.has(publishedEndpointKey(row)));
      // a draft that a crash left, or a spoilt file: it is written anew when it is desired
      if (fresh.length === 0 || fresh.length < found.length) Deno.removeSync(path);
      else {
        for (const row of fresh) this.#put(row, number!);
        rows.push(...fresh);
      }
    }
    return rows;
  }

  apply(
    upserts: PublishedEndpoint[],
    deletes: PublishedEndpoint[],
  ): ApplyResult<PublishedEndpoint> {
    const folder = this.#folder();
    /** By number, the rows that have changed in it. */
    const changed = new Map<number, PublishedEndpoint[]>();
    const note = (number: number, row: PublishedEndpoint) => {
      const rows = changed.get(number);
      if (rows) rows.push(row);
      else changed.set(number, [row]);
    };
    for (const row of deletes) {
      const key = publishedEndpointKey(row);
      const number = this.#batchOf.get(key);
      if (number === undefined) continue;
      this.#batches.get(number)!.delete(key);
      this.#batchOf.delete(key);
      note(number, row);
    }
    const failed = attemptEach(upserts, (row) => {
      checkNames(row);
      const number = this.#batchOf.get(publishedEndpointKey(row)) ?? this.#withRoom();
      this.#put(row, number);
      note(number, row);
    });
    for (const [number, rows] of changed) failed.push(...this.#write(folder, number, rows));
    return { failed };
  }

  #folder(): string {
    return checkedFolder(this.#directory, ["endpoints", this.#node]);
  }

  #put(row: PublishedEndpoint, number: number): void {
    const key = publishedEndpointKey(row);
    let batch = this.#batches.get(number);
    if (!batch) this.#batches.set(number, batch = new Map());
    batch.set(key, endpointText(row));
    this.#batchOf.set(key, number);
  }

  /** The number of a file that takes one more. */
  #withRoom(): number {
    for (const [number, batch] of this.#batches) {
      if (batch.size < BATCH_ROWS && lengthOf(batch) < BATCH_LENGTH) return number;
    }
    let number = 1;
    while (this.#batches.has(number)) number++;
    return number;
  }

  /** Returns the rows as failed when the file cannot be written: they are in none, or in the one before. */
  #write(
    folder: string,
    number: number,
    rows: readonly PublishedEndpoint[],
  ): RowFailure<PublishedEndpoint>[] {
    const path = join(folder, batchFileName(number));
    const batch = this.#batches.get(number)!;
    const [failure] = attemptEach([rows], () => {
      if (batch.size > 0) return writeWhole(path, batchText(batch.values()));
      removeIfThere(path);
      this.#batches.delete(number);
    });
    return failure ? rows.map((row) => ({ row, error: failure.error })) : [];
  }
}

function lengthOf(batch: Batch): number {
  let length = 0;
  for (const text of batch.values()) length += text.length;
  return length;
}

/** None for a file that is not ours as it is. */
function rowsOf(path: string): PublishedEndpoint[] {
  let text;
  try {
    text = readBounded(path, { maxBytes: MAX_PUBLISHED_BYTES, followLinks: false });
  } catch {
    return [];
  }
  const { resources, problems } = readPublished<PublishedEndpoint | undefined>(text, {
    endpoint: endpointRow,
    identity: () => undefined,
  });
  const rows = resources.filter((row) => row !== undefined);
  return problems.length > 0 || rows.length < resources.length ? [] : rows;
}
