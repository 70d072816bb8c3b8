/** Bytes that come in pieces of any size. */

import { concat } from "@std/bytes/concat";

/** Smaller pieces are put together: each costs more than its bytes, and peers choose their size. */
const SMALL = 1024;

/** Puts a piece, which is the caller's own no more, behind the others. */
export function addPiece(pieces: Uint8Array[], piece: Uint8Array): void {
  const last = pieces.at(-1);
  if (last && last.length + piece.length <= SMALL) {
    pieces[pieces.length - 1] = concat([last, piece]);
  } else pieces.push(piece);
}
