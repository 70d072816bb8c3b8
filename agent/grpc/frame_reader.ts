/** Bytes of a connection as frames. */

import { type Frame, FRAME_HEAD, FRAME_SIZE, Http2Code, Http2Error } from "./frame.ts";

export class FrameReader {
  readonly #read: (buffer: Uint8Array) => Promise<number | null>;
  readonly #buffer = new Uint8Array(4 * (FRAME_HEAD + FRAME_SIZE));
  #start = 0;
  #end = 0;

  constructor(read: (buffer: Uint8Array) => Promise<number | null>) {
    this.#read = read;
  }

  /** So many bytes, valid until the next call; undefined when the peer has ended before. */
  async bytes(length: number): Promise<Uint8Array | undefined> {
    while (this.#end - this.#start < length) {
      if (this.#start + length > this.#buffer.length) {
        this.#buffer.copyWithin(0, this.#start, this.#end);
        this.#end -= this.#start;
        this.#start = 0;
      }
      const read = await this.#read(this.#buffer.subarray(this.#end));
      if (read === null) return undefined;
      this.#end += read;
    }
    this.#start += length;
    return this.#buffer.subarray(this.#start - length, this.#start);
  }

  /** The next frame, its payload valid until the next call. Throws Http2Error for one too long. */
  async frame(): Promise<Frame | undefined> {
    const head = await this.bytes(FRAME_HEAD);
    if (!head) return undefined;
    const length = head[0]! << 16 | head[1]! << 8 | head[2]!;
    const type = head[3]!, flags = head[4]!;
    const stream = (head[5]! & 0x7f) << 24 | head[6]! << 16 | head[7]! << 8 | head[8]!;
    if (length > FRAME_SIZE) {
      throw new Http2Error(Http2Code.FRAME_SIZE_ERROR, `a frame has ${length} bytes`);
    }
    const payload = length === 0 ? new Uint8Array(0) : await this.bytes(length);
    return payload && { type, flags, stream, payload };
  }
}
