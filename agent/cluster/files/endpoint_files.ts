/** The endpoints that a node publishes as files, one a pod, in a folder of its own. */

import { join } from "@std/path";
import { attemptEach } from "../../core/attempt_each.ts";
import type { ApplyResult, Target } from "../../core/reconciler.ts";
import { readBounded } from "../../core/bounded_file.ts";
import { removeIfThere } from "../../core/missing_files.ts";
import { writeWhole } from "../../core/whole_file.ts";
import type { PublishedEndpoint } from "../rows.ts";
import { endpointRow, endpointText, MAX_PUBLISHED_BYTES, readPublished } from "./published.ts";
import { checkedFolder, isPodFileName, podFileName } from "./paths.ts";

/** A target for a reconciler. Files that are not of its own form are left alone. */
export class EndpointFiles implements Target<PublishedEndpoint> {
  readonly #directory: string;
  readonly #node: string;

  /** Throws TypeError when the node's name is not a name of the API. */
  constructor(directory: string, node: string) {
    this.#directory = directory;
    this.#node = node;
    checkedFolder(directory, ["endpoints", node]);
  }

  read(): PublishedEndpoint[] {
    const folder = checkedFolder(this.#directory, ["endpoints", this.#node]);
    const rows: PublishedEndpoint[] = [];
    for (const { name, isFile } of Deno.readDirSync(folder)) {
      const path = join(folder, name);
      if (!isFile || !isPodFileName(name)) continue;
      const [row] = readPublished(textOf(path), {
        endpoint: endpointRow,
        identity: () => undefined,
      }).resources;
      // a draft that a crash left, or a spoilt file: it is written anew when it is desired
      if (!row || !isNamed(name, row)) Deno.removeSync(path);
      else rows.push(row);
    }
    return rows;
  }

  apply(
    upserts: PublishedEndpoint[],
    deletes: PublishedEndpoint[],
  ): ApplyResult<PublishedEndpoint> {
    const folder = checkedFolder(this.#directory, ["endpoints", this.#node]);
    const pathOf = (row: PublishedEndpoint) => join(folder, podFileName(row));
    return {
      failed: [
        ...attemptEach(deletes, (row) => removeIfThere(pathOf(row))),
        ...attemptEach(upserts, (row) => writeWhole(pathOf(row), endpointText(row))),
      ],
    };
  }
}

/** Empty for what is too large to be ours. */
function textOf(path: string): string {
  try {
    return readBounded(path, { maxBytes: MAX_PUBLISHED_BYTES, followLinks: false });
  } catch {
    return "";
  }
}

function isNamed(name: string, row: PublishedEndpoint): boolean {
  try {
    return name === podFileName(row);
  } catch {
    return false; // by no name that is written here
  }
}
