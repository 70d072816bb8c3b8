/** Messages within the data of a call: each has a head of five bytes. */

import { concat } from "@std/bytes/concat";
import type { Http2Stream } from "./http2_stream.ts";
import { addPiece } from "./pieces.ts";
import { GrpcError, Status } from "./status.ts";

const HEAD = 5;

/** Messages with their heads, as one piece of data. */
export function framed(messages: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(messages.reduce((sum, { length }) => sum + HEAD + length, 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const message of messages) {
    view.setUint32(at + 1, message.length);
    bytes.set(message, at + HEAD);
    at += HEAD + message.length;
  }
  return bytes;
}

/** The messages that come on a stream. Throws GrpcError for one that has more bytes than `most`. */
export async function* messagesOf(stream: Http2Stream, most: number): AsyncGenerator<Uint8Array> {
  let parts: Uint8Array[] = [], length = 0;
  // bytes of the next message with its head
  let wanted = HEAD;
  let hasHead = false;
  while (true) {
    while (length < wanted) {
      const chunk = await stream.read();
      if (!chunk) {
        if (length === 0) return;
        throw new GrpcError(Status.INTERNAL, "a message is cut");
      }
      addPiece(parts, chunk);
      length += chunk.length;
    }
    const bytes = parts.length === 1 ? parts[0]! : concat(parts);
    parts = [bytes];
    if (!hasHead) {
      if (bytes[0] !== 0) {
        throw new GrpcError(Status.UNIMPLEMENTED, "compressed messages are not taken");
      }
      const size = new DataView(bytes.buffer, bytes.byteOffset).getUint32(1);
      if (size > most) {
        throw new GrpcError(
          Status.RESOURCE_EXHAUSTED,
          `a message has ${size} bytes, and at most ${most} are taken`,
        );
      }
      hasHead = true;
      wanted = HEAD + size;
      continue;
    }
    const message = bytes.subarray(HEAD, wanted);
    parts = bytes.length > wanted ? [bytes.subarray(wanted)] : [];
    length -= wanted;
    wanted = HEAD;
    hasHead = false;
    yield message;
  }
}
