/** Texts of addresses. The ones met last are kept: a node's flows have few ends. */

import { formatIp } from "../../../datapath/net/ip.ts";

/** A power of two. */
const SLOTS = 4096;

export class AddressTexts {
  /** Of each slot's address the four words. */
  readonly #words = new Int32Array(4 * SLOTS);
  readonly #texts = new Array<string>(SLOTS).fill("::");

  /** The text of the 16 bytes at `offset`. */
  text(view: DataView, offset: number): string {
    const a = view.getInt32(offset), b = view.getInt32(offset + 4);
    const c = view.getInt32(offset + 8), d = view.getInt32(offset + 12);
    // the middle ones are the same for most addresses of a cluster
    const mixed = Math.imul(a ^ Math.imul(b, 31) ^ Math.imul(c, 37) ^ d, 0x9e3779b1);
    const slot = (mixed >>> 20) & (SLOTS - 1), words = this.#words, at = 4 * slot;
    if (words[at] !== a || words[at + 1] !== b || words[at + 2] !== c || words[at + 3] !== d) {
      words.set([a, b, c, d], at);
      this.#texts[slot] = formatIp(new Uint8Array(view.buffer, view.byteOffset + offset, 16));
    }
    return this.#texts[slot]!;
  }
}
