/** Who answers one scope of a frontend's clients, as the kernel's rows are. */

import type { MaglevBackend } from "./maglev.ts";

/** One of a set. */
export interface ServiceBackend extends MaglevBackend {
  /** `BackendFlags`. */
  flags: number;
}

/**
 * Those for new connections first, then those that only keep what they have. The texts hold a number
 * a character: there are as many sets as services, and an object for each backend weighs too much.
 */
export interface BackendSet {
  /** How many new connections go to. */
  count: number;
  /** {@linkcode RECORD} characters a backend: address, port in network order, flags. */
  content: string;
  /** A character a backend. */
  weights: string;
}

const RECORD = 16 + 2 + 1;

/** The 18 characters that tell a backend from others: its address, and its port in network order. */
export function backendText(address: Uint8Array, port: number): string {
  return String.fromCharCode(...address, port >> 8, port & 0xff);
}

/** `backends` in the order of the kernel's rows. */
export function backendSet(backends: readonly ServiceBackend[], count: number): BackendSet {
  const records = backends.map(({ address, port, flags }) =>
    backendText(address, port) + String.fromCharCode(flags)
  );
  const weights = backends.map(({ weight }) => String.fromCharCode(weight));
  return { count, content: records.join(""), weights: weights.join("") };
}

export function setLength({ content }: BackendSet): number {
  return content.length / RECORD;
}

/** Objects anew with each call. */
export function setBackends({ content, weights }: BackendSet): ServiceBackend[] {
  const byte = (at: number) => content.charCodeAt(at);
  return Array.from(weights, (weight, i) => {
    const at = i * RECORD;
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
  const length = content.length / RECORD;
  return Array.from({ length }, (_, i) => content.slice(i * RECORD, (i + 1) * RECORD - 1));
}

/** Whether new connections are shared in the same way. */
export function sameSet(a: BackendSet, b: BackendSet): boolean {
  return a.count === b.count && a.content === b.content && a.weights === b.weights;
}
