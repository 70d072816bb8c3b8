/** What is wrong in what users want. */

import { Table } from "./table.ts";

/** Something in a source, or between its resources, that somebody has to put right. */
export interface Problem {
  /** The file, or the resource when there is none, such as `CiliumEndpoint demo/web`. */
  source: string;
  /** Counted from 1; undefined when it is no matter of one line. */
  line?: number;
  message: string;
}

/** A table for {@linkcode Problem} rows. */
export function problemTable(name: string): Table<Problem> {
  return new Table<Problem>({
    name,
    key: ({ source, line, message }) => `${source}:${line ?? ""}:${message}`,
  });
}
