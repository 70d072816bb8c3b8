/** HPACK's Huffman code (RFC 7541, appendix B). */

/** Bits of each byte's code. The code is canonical, so that these say it all. */
// deno-fmt-ignore
const LENGTHS = [
  13,23,28,28,28,28,28,28,28,24,30,28,28,30,28,28,28,28,28,28,28,28,30,28,28,28,28,28,28,28,28,28,
  6,10,10,12,13,6,8,11,10,10,8,11,8,6,6,6,5,5,5,6,6,6,6,6,6,6,7,8,15,6,12,10,
  13,6,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,8,7,8,13,19,13,14,6,
  15,5,6,5,6,5,6,6,6,5,7,7,6,6,6,5,6,7,6,5,5,6,7,7,7,7,7,15,11,14,13,28,
  20,22,20,20,22,22,22,23,22,23,23,23,23,23,24,23,24,24,22,23,24,23,23,23,23,21,22,23,22,23,23,24,
  22,21,20,22,22,23,23,21,23,22,22,24,21,22,23,23,21,21,22,21,23,22,23,23,20,22,22,22,23,22,22,23,
  26,26,20,19,22,23,22,25,26,26,26,27,27,26,24,25,19,21,26,27,27,26,27,24,21,21,26,26,28,27,27,27,
  20,24,20,21,22,21,21,23,22,22,25,25,24,24,26,23,26,27,26,26,27,27,27,27,27,28,27,27,27,27,27,26,
] as const;

const LONGEST = 30;

/** By length the first code, and the symbols of that length in the order of their codes. */
const CODES = codes();

function codes(): { first: number; symbols: number[] }[] {
  const rows: { first: number; symbols: number[] }[] = [];
  let first = 0;
  for (let length = 0; length <= LONGEST; length++) {
    const symbols = [...LENGTHS.keys()].filter((symbol) => LENGTHS[symbol] === length);
    rows.push({ first, symbols });
    first = (first + symbols.length) * 2;
  }
  return rows;
}

/** The bytes that `coded` stands for; undefined when it is none. */
export function decodeHuffman(coded: Uint8Array): Uint8Array | undefined {
  const bytes: number[] = [];
  let code = 0, length = 0;
  for (const byte of coded) {
    for (let bit = 7; bit >= 0; bit--) {
      code = code * 2 + (byte >> bit & 1);
      if (++length > LONGEST) return undefined;
      const { first, symbols } = CODES[length]!;
      const symbol = symbols[code - first];
      if (symbol === undefined) continue;
      bytes.push(symbol);
      code = length = 0;
    }
  }
  // what fills the last byte is the beginning of a code of ones
  return length < 8 && code === 2 ** length - 1 ? Uint8Array.from(bytes) : undefined;
}
