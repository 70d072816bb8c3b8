/** A document of a text: the value that YAML or JSON gives, and where each part of it stands. */

import type { Fault, Step } from "./schema.ts";

/** What is wrong and where. */
export interface DocumentProblem {
  /** Counted from 1. */
  line: number;
  message: string;
}

/** See the module. */
export interface ParsedDocument {
  value: unknown;
  /** Where it is not even YAML, or not to be read. */
  errors: readonly DocumentProblem[];
  /** What its text says that it is, of one with errors; undefined when it does not. */
  named?: { apiVersion: string; kind: string } | undefined;
  /** The line of what a fault of the document is about. */
  lineOf(path: readonly Step[], about: Fault["about"]): number;
  /** How a value is written; undefined when that is not known. */
  sourceOf(path: readonly Step[]): string | undefined;
}

/** Levels of maps and lists in one another; resources have less than half of that. */
export const MAX_DEPTH = 100;

export const TOO_DEEP = `has more than ${MAX_DEPTH} levels of maps and lists in one another`;

/** A text that is too much to read: its message says what of it. */
export class TooMuchError extends Error {
  override readonly name = "TooMuchError";
}
