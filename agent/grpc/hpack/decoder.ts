/** Fields of HTTP/2 headers out of HPACK (RFC 7541). */

import { decodeHuffman } from "./huffman.ts";
import { STATIC_TABLE } from "./static_table.ts";

/** A header block that is none; the connection cannot go on. */
export class HpackError extends Error {
  override readonly name = "HpackError";
}

/** Bytes of the dynamic table, which is what peers take without being told. */
const TABLE_SIZE = 4096;

/** What a field weighs in the dynamic table beside its bytes. */
const FIELD_OVERHEAD = 32;

/** The most bytes of all fields of a block. */
const MAX_FIELDS = 64 * 1024;

type Field = readonly [name: string, value: string];

/** Has the state of one direction of a connection: each block must go through it, in order. */
export class HpackDecoder {
  readonly #dynamic: Field[] = [];
  #size = 0;
  #limit = TABLE_SIZE;

  /** The fields of a block; of one that is there twice the last. Throws HpackError. */
  decode(block: Uint8Array): Map<string, string> {
    const reader = new Reader(block);
    const fields = new Map<string, string>();
    let bytes = 0;
    while (!reader.done) {
      const first = reader.peek();
      if ((first & 0xe0) === 0x20) {
        this.#resize(reader.integer(5));
        continue;
      }
      const [name, value] = this.#field(reader, first);
      bytes += name.length + value.length + FIELD_OVERHEAD;
      if (bytes > MAX_FIELDS) throw new HpackError("too many header fields");
      fields.set(name, value);
    }
    return fields;
  }

  #field(reader: Reader, first: number): Field {
    if (first & 0x80) return this.#entry(reader.integer(7));
    const indexed = (first & 0xc0) === 0x40;
    const index = reader.integer(indexed ? 6 : 4);
    const name = index === 0 ? reader.text() : this.#entry(index)[0];
    const field = [name, reader.text()] as const;
    if (indexed) this.#add(field);
    return field;
  }

  #entry(index: number): Field {
    const entry = index <= STATIC_TABLE.length
      ? STATIC_TABLE[index - 1]
      : this.#dynamic[index - STATIC_TABLE.length - 1];
    if (!entry) throw new HpackError(`no header field has the index ${index}`);
    return entry;
  }

  #add(field: Field): void {
    this.#dynamic.unshift(field);
    this.#size += weight(field);
    this.#shrink();
  }

  #resize(limit: number): void {
    if (limit > TABLE_SIZE) throw new HpackError(`a table of ${limit} bytes was not offered`);
    this.#limit = limit;
    this.#shrink();
  }

  #shrink(): void {
    while (this.#size > this.#limit) this.#size -= weight(this.#dynamic.pop()!);
  }
}

function weight([name, value]: Field): number {
  return name.length + value.length + FIELD_OVERHEAD;
}

class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get done(): boolean {
    return this.#at === this.#bytes.length;
  }

  peek(): number {
    const byte = this.#bytes[this.#at];
    if (byte === undefined) throw new HpackError("the header block ends too early");
    return byte;
  }

  #byte(): number {
    const byte = this.peek();
    this.#at++;
    return byte;
  }

  /** An integer whose first byte has so many bits for it. */
  integer(bits: number): number {
    const most = 2 ** bits - 1;
    let value = this.#byte() & most;
    if (value < most) return value;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.#byte();
      value += (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw new HpackError("an integer is too large");
  }

  /** Bytes as Latin-1, as field values are bytes. */
  text(): string {
    const coded = (this.peek() & 0x80) !== 0;
    const length = this.integer(7);
    const end = this.#at + length;
    if (end > this.#bytes.length) throw new HpackError("the header block ends too early");
    const raw = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    const bytes = coded ? decodeHuffman(raw) : raw;
    if (!bytes) throw new HpackError("a text is not Huffman coded");
    let text = "";
    for (const byte of bytes) text += String.fromCharCode(byte);
    return text;
  }
}
