/** A block of headers, which may come in parts. */

import { concat } from "@std/bytes/concat";
import { Http2Code, Http2Error } from "./frame.ts";

/** The most bytes of a block. */
const MAX_BLOCK = 32 * 1024;

export class HeaderBlock {
  readonly stream: number;
  /** Whether the stream ends with it. */
  readonly end: boolean;
  readonly #parts: Uint8Array[] = [];
  #weight = 0;

  constructor(stream: number, end: boolean) {
    this.stream = stream;
    this.end = end;
  }

  /** Throws Http2Error when it is too much. */
  add(part: Uint8Array): void {
    this.#parts.push(part.slice());
    this.#weight += part.length + 32; // empty parts weigh too
    if (this.#weight > MAX_BLOCK) {
      throw new Http2Error(Http2Code.ENHANCE_YOUR_CALM, "headers are too long");
    }
  }

  bytes(): Uint8Array {
    return concat(this.#parts);
  }
}
