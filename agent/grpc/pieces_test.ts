import { assert, assertEquals } from "@std/assert";
import { concat } from "@std/bytes/concat";
import { Http2Stream, type StreamConnection } from "./http2_stream.ts";
import { addPiece } from "./pieces.ts";

/** 60,000 bytes, each by itself. */
const BYTES = Array.from({ length: 60_000 }, (_, i) => Uint8Array.of(i));

Deno.test("addPiece() makes few pieces of many small ones, and leaves large ones", () => {
  const pieces: Uint8Array[] = [];
  for (const byte of BYTES) addPiece(pieces, byte);
  assert(pieces.length < 200, `${pieces.length} pieces`);
  assertEquals(concat(pieces), concat(BYTES));
  const large = new Uint8Array(16_000);
  addPiece(pieces, large);
  assert(pieces.at(-1) === large);
});

Deno.test("Http2Stream keeps bytes that come one by one as few pieces", async () => {
  const connection = { consumed() {}, finished() {} } as unknown as StreamConnection;
  const stream = new Http2Stream(connection, 1, 0, 0);
  for (const byte of BYTES) stream.receiveData(byte, false);
  stream.receiveData(new Uint8Array(0), true);
  const read: Uint8Array[] = [];
  for (let piece; (piece = await stream.read());) read.push(piece);
  assert(read.length < 200, `${read.length} pieces`);
  assertEquals(concat(read), concat(BYTES));
});
