/**
 * Netlink messages: bodies built from structures and attributes, datagrams taken apart. All numbers
 * are in host order (little-endian on both architectures that are supported) unless an attribute
 * says otherwise.
 *
 * Constants: include/uapi/linux/netlink.h.
 */

/** Bytes of `struct nlmsghdr`. */
export const HEADER_SIZE = 16;

/** Types of messages that end an answer. */
export const NLMSG_ERROR = 2, NLMSG_DONE = 3, NLMSG_OVERRUN = 4;

const NLM_F_CAPPED = 0x100, NLM_F_ACK_TLVS = 0x200;
const NLMSGERR_ATTR_MSG = 1;
const NLA_F_NESTED = 0x8000, NLA_TYPE_MASK = 0x3fff;

/** Address families. */
export const AF_UNSPEC = 0, AF_INET = 2, AF_INET6 = 10;

const decoder = new TextDecoder();
const encoder = new TextEncoder();

const align = (length: number) => (length + 3) & ~3;

/** Builds a message's body: a fixed structure, then attributes. */
export class NetlinkBody {
  #bytes = new Uint8Array(256);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  /** What has been written so far. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.#length);
  }

  #grow(size: number): number {
    const offset = this.#length;
    this.#length = offset + align(size);
    if (this.#length > this.#bytes.length) {
      const larger = new Uint8Array(2 * this.#length);
      larger.set(this.#bytes);
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    return offset;
  }

  /** Appends `size` zeroed bytes of a fixed structure; `fill` gets a view of exactly them. */
  struct(size: number, fill: (view: DataView) => void): this {
    const offset = this.#grow(size);
    fill(new DataView(this.#bytes.buffer, offset, size));
    return this;
  }

  #attribute(type: number, size: number): number {
    const offset = this.#grow(4 + size);
    this.#view.setUint16(offset, 4 + size, true);
    this.#view.setUint16(offset + 2, type, true);
    return offset + 4;
  }

  attribute(type: number, value: Uint8Array): this {
    this.#bytes.set(value, this.#attribute(type, value.length));
    return this;
  }

  u8(type: number, value: number): this {
    this.#view.setUint8(this.#attribute(type, 1), value);
    return this;
  }

  /** A 16-bit number in network order. */
  u16be(type: number, value: number): this {
    this.#view.setUint16(this.#attribute(type, 2), value);
    return this;
  }

  u32(type: number, value: number): this {
    this.#view.setUint32(this.#attribute(type, 4), value, true);
    return this;
  }

  string(type: number, value: string): this {
    return this.attribute(type, encoder.encode(value + "\0"));
  }

  nest(type: number, fill: (body: this) => void): this {
    const start = this.#attribute(type | NLA_F_NESTED, 0) - 4;
    fill(this);
    this.#view.setUint16(start, this.#length - start, true);
    return this;
  }
}

/** The attributes in `bytes`, by type, without flags. Throws TypeError when a length is impossible. */
export function parseAttributes(bytes: Uint8Array): Map<number, Uint8Array> {
  const attributes = new Map<number, Uint8Array>();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let offset = 0;
  while (offset < bytes.length) {
    if (bytes.length - offset < 4) {
      throw new TypeError(`Netlink attribute header is cut off: ${bytes.length - offset} bytes`);
    }
    const length = view.getUint16(offset, true);
    if (length < 4 || offset + length > bytes.length) {
      throw new TypeError(
        `Netlink attribute says ${length} bytes, and ${bytes.length - offset} are there`,
      );
    }
    const type = view.getUint16(offset + 2, true) & NLA_TYPE_MASK;
    attributes.set(type, bytes.subarray(offset + 4, offset + length));
    offset += align(length);
  }
  return attributes;
}

/** The number in an attribute of 1, 2 or 4 bytes; undefined when the attribute is missing. */
export function attributeNumber(value: Uint8Array | undefined): number | undefined {
  if (!value) return undefined;
  const view = new DataView(value.buffer, value.byteOffset, value.length);
  switch (value.length) {
    case 1:
      return view.getUint8(0);
    case 2:
      return view.getUint16(0, true);
    case 4:
      return view.getUint32(0, true);
  }
  throw new TypeError(`Netlink attribute of ${value.length} bytes is no number`);
}

/** The text in an attribute; undefined when the attribute is missing. */
export function attributeString(value: Uint8Array | undefined): string | undefined {
  if (!value) return undefined;
  const end = value.indexOf(0);
  return decoder.decode(end < 0 ? value : value.subarray(0, end));
}

/** One message as received. */
export interface NetlinkMessage {
  type: number;
  flags: number;
  sequence: number;
  /** After the header, padding excluded. */
  body: Uint8Array;
}

/** The messages in one datagram. Throws TypeError when one is cut off. */
export function parseMessages(datagram: Uint8Array): NetlinkMessage[] {
  const messages: NetlinkMessage[] = [];
  const view = new DataView(datagram.buffer, datagram.byteOffset, datagram.length);
  let offset = 0;
  while (offset < datagram.length) {
    const left = datagram.length - offset;
    if (left < HEADER_SIZE) throw new TypeError(`Netlink header is cut off: ${left} bytes`);
    const length = view.getUint32(offset, true);
    if (length < HEADER_SIZE || length > left) {
      throw new TypeError(`Netlink message says ${length} bytes, and ${left} are there`);
    }
    messages.push({
      type: view.getUint16(offset + 4, true),
      flags: view.getUint16(offset + 6, true),
      sequence: view.getUint32(offset + 8, true),
      body: datagram.subarray(offset + HEADER_SIZE, offset + length),
    });
    offset += align(length);
  }
  return messages;
}

/** The fixed structure at the start of a body, as a view. Throws TypeError when it is shorter than `size`. */
export function structOf(body: Uint8Array, size: number): DataView {
  if (body.length < size) {
    throw new TypeError(`Netlink body has ${body.length} bytes, and its structure needs ${size}`);
  }
  return new DataView(body.buffer, body.byteOffset, size);
}

/** errno (0 for success) and the kernel's explanation in an NLMSG_ERROR or NLMSG_DONE message. */
export function acknowledgement(
  { type, flags, body }: NetlinkMessage,
): { errno: number; log?: string } {
  if (type === NLMSG_DONE && body.length < 4) return { errno: 0 };
  const view = structOf(body, 4);
  const errno = -view.getInt32(0, true);
  if (!(flags & NLM_F_ACK_TLVS)) return { errno };
  let offset = 4;
  if (type === NLMSG_ERROR) {
    // The request's header follows, and on failure its body too unless the kernel capped it.
    const echoed = structOf(body, 4 + HEADER_SIZE).getUint32(4, true);
    offset += (flags & NLM_F_CAPPED) ? HEADER_SIZE : align(echoed);
  }
  const log = attributeString(parseAttributes(body.subarray(offset)).get(NLMSGERR_ATTR_MSG));
  return log === undefined ? { errno } : { errno, log };
}
