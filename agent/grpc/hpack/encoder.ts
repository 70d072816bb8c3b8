/** Fields of HTTP/2 headers in HPACK: literals alone, so that there is no state to keep. */

/** The block of the fields, whose texts are ASCII. */
export function encodeHeaders(fields: readonly (readonly [string, string])[]): Uint8Array {
  const bytes: number[] = [];
  for (const [name, value] of fields) {
    bytes.push(0);
    for (const text of [name, value]) {
      pushLength(bytes, text.length);
      for (let i = 0; i < text.length; i++) bytes.push(text.charCodeAt(i) & 0xff);
    }
  }
  return Uint8Array.from(bytes);
}

function pushLength(bytes: number[], length: number): void {
  if (length < 127) {
    bytes.push(length);
    return;
  }
  bytes.push(127);
  for (length -= 127; length >= 128; length = length >> 7) bytes.push(length & 0x7f | 0x80);
  bytes.push(length);
}
