/** Backends for one scope of a frontend's clients: the form in which the kernel has them. */

import type { MaglevBackend } from "./maglev.ts";

/** One of a set. */
export interface ServiceBackend extends MaglevBackend {
  /** `BackendFlags`. */
  flags: number;
}

/**
 * Those for new connections first, then those that only keep their connections. The texts hold a byte
 * a character: there are as many sets as services, and an object for each backend weighs too much.
 */
export interface BackendSet {
  /** How many get new connections. */
  count: number;
  /** The first {@linkcode ROW_BYTES} bytes of each backend's row in the kernel. */
  content: string;
  /** A character a backend. */
  weights: string;
}

/** Of struct backend, the bytes that the agent writes: address, port in network order, flags. */
export const ROW_BYTES = 16 + 2 + 1;

/** The most bytes that are made a text at once. */
const TEXT_BYTES = 4096;

/** A character a byte. Not spread, as that takes several times as long. */
function textOf(bytes: Uint8Array): string {
  return String.fromCharCode.apply(null, bytes as unknown as number[]);
}

const key = new Uint8Array(18);

/** The 18 characters by which backends differ: the address, and the port in network order. */
export function backendText(address: Uint8Array, port: number): string {
  key.set(address);
  key[16] = port >> 8;
  key[17] = port & 0xff;
  return textOf(key);
}

/** `backends` in the order of the kernel's rows. */
export function backendSet(backends: readonly ServiceBackend[], count: number): BackendSet {
  const rows = backends.map(({ address, port, flags }) =>
    backendText(address, port) + String.fromCharCode(flags)
  );
  const weights = backends.map(({ weight }) => String.fromCharCode(weight));
  return { count, content: rows.join(""), weights: weights.join("") };
}

export const EMPTY_SET = backendSet([], 0);

/** The set of so many rows of `rowSize` bytes. Weights are not in the kernel: they are 1. */
export function setOfRows(rows: Uint8Array, rowSize: number, length: number): BackendSet {
  const bytes = new Uint8Array(length * ROW_BYTES);
  for (let i = 0; i < length; i++) {
    for (let byte = 0; byte < ROW_BYTES; byte++) {
      bytes[i * ROW_BYTES + byte] = rows[i * rowSize + byte]!;
    }
  }
  let content = "";
  for (let at = 0; at < bytes.length; at += TEXT_BYTES) {
    content += textOf(bytes.subarray(at, at + TEXT_BYTES));
  }
  return { count: length, content, weights: "\x01".repeat(length) };
}

/** Writes the set's rows of `rowSize` bytes from `offset` on. */
export function writeRows(
  { content }: BackendSet,
  rows: Uint8Array,
  offset: number,
  rowSize: number,
): void {
  for (let i = 0, at = 0; at < content.length; at += ROW_BYTES, i++) {
    const row = offset + i * rowSize;
    for (let byte = 0; byte < ROW_BYTES; byte++) rows[row + byte] = content.charCodeAt(at + byte);
  }
}

/** Whether the rows of `rowSize` bytes from `offset` on are the set's; later bytes do not count. */
export function hasRows(
  { content }: BackendSet,
  rows: Uint8Array,
  offset: number,
  rowSize: number,
): boolean {
  for (let i = 0, at = 0; at < content.length; at += ROW_BYTES, i++) {
    const row = offset + i * rowSize;
    for (let byte = 0; byte < ROW_BYTES; byte++) {
      if (rows[row + byte] !== content.charCodeAt(at + byte)) return false;
    }
  }
  return true;
}

export function setLength({ content }: BackendSet): number {
  return content.length / ROW_BYTES;
}

/** Objects anew with each call. */
export function setBackends({ content, weights }: BackendSet): ServiceBackend[] {
  const byte = (at: number) => content.charCodeAt(at);
  return Array.from(weights, (weight, i) => {
    const at = i * ROW_BYTES;
    return {
      address: Uint8Array.from({ length: 16 }, (_, k) => byte(at + k)),
      port: byte(at + 16) << 8 | byte(at + 17),
      flags: byte(at + 18),
      weight: weight.charCodeAt(0),
    };
  });
}

/** The {@linkcode backendText} of each backend. */
export function setTexts({ content }: BackendSet): string[] {
  const length = content.length / ROW_BYTES;
  return Array.from({ length }, (_, i) => content.slice(i * ROW_BYTES, (i + 1) * ROW_BYTES - 1));
}

/** Whether new connections are shared in the same way. */
export function sameSet(a: BackendSet, b: BackendSet): boolean {
  return a.count === b.count && a.content === b.content && a.weights === b.weights;
}

/** For each index of `from` the index of the same backend in `to`, or -1. */
export function movedIndices(from: BackendSet, to: BackendSet): Int32Array {
  const index = new Map(setTexts(to).map((text, i) => [text, i]));
  return Int32Array.from(setTexts(from), (text) => index.get(text) ?? -1);
}
