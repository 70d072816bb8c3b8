/**
 * Netlink messages and the route socket they travel on. All numbers are in host order (little-endian
 * on both architectures that are supported) unless an attribute says otherwise.
 *
 * Constants: include/uapi/linux/netlink.h, rtnetlink.h.
 */

import {
  bind,
  type FileDescriptor,
  recv,
  send,
  sendElsewhere,
  setsockopt,
  socket,
} from "../ffi/libc.ts";
import { NativeMemory } from "../ffi/memory.ts";
import { isErrno, KernelError } from "../kernel_error.ts";
import { inNamespace } from "./netns.ts";

const AF_NETLINK = 16, SOCK_RAW = 3;

/** Families of netlink: network configuration, and sockets. */
export const NETLINK_ROUTE = 0, NETLINK_SOCK_DIAG = 4;

const SOL_NETLINK = 270, NETLINK_CAP_ACK = 10, NETLINK_EXT_ACK = 11, NETLINK_GET_STRICT_CHK = 12;
const SOL_SOCKET = 1, SO_RCVBUF = 8;
const MSG_TRUNC = 0x20;

const HEADER_SIZE = 16;
const NLMSG_ERROR = 2, NLMSG_DONE = 3, NLMSG_OVERRUN = 4;
const NLM_F_REQUEST = 0x1, NLM_F_MULTI = 0x2, NLM_F_ACK = 0x4, NLM_F_DUMP_INTR = 0x10;
const NLM_F_DUMP = 0x300, NLM_F_CAPPED = 0x100, NLM_F_ACK_TLVS = 0x200;
const NLMSGERR_ATTR_MSG = 1;
const NLA_F_NESTED = 0x8000, NLA_TYPE_MASK = 0x3fff;

/** Flags of requests that make or change something. */
export const NLM_F_REPLACE = 0x100, NLM_F_EXCL = 0x200, NLM_F_CREATE = 0x400, NLM_F_APPEND = 0x800;

/** Address families. */
export const AF_UNSPEC = 0, AF_INET = 2, AF_INET6 = 10;

/** A dump is begun anew this often when the kernel's table changed under it. */
const DUMP_ATTEMPTS = 8;

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
function acknowledgement({ type, flags, body }: NetlinkMessage): { errno: number; log?: string } {
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

/** What a request is, for the error when it is refused. */
export interface NetlinkPurpose {
  /** A verb phrase: "create veth". */
  operation: string;
  target: string;
  hint?: string;
}

/**
 * A socket to the kernel's network configuration, bound to the namespace that it was opened in for
 * as long as it lives. Calls are synchronous: one request, one answer.
 */
export class NetlinkSocket implements Disposable {
  readonly #fd: FileDescriptor;
  #sequence = 0;
  #buffer = new Uint8Array(64 * 1024);

  private constructor(fd: FileDescriptor) {
    this.#fd = fd;
  }

  /**
   * Opens a socket in the thread's namespace, or in the one of the file descriptor `netns`.
   * Throws KernelError.
   */
  static open(
    { netns, family = NETLINK_ROUTE }: { netns?: number; family?: number } = {},
  ): NetlinkSocket {
    const make = () => socket(AF_NETLINK, SOCK_RAW, family);
    const fd = netns === undefined ? make() : inNamespace(netns, make);
    try {
      const address = new Uint8Array(12);
      new DataView(address.buffer).setUint16(0, AF_NETLINK, true);
      bind(fd.fd, address);
      const one = new Uint8Array([1, 0, 0, 0]);
      setsockopt(fd.fd, SOL_NETLINK, NETLINK_CAP_ACK, one);
      setsockopt(fd.fd, SOL_NETLINK, NETLINK_EXT_ACK, one);
      setsockopt(fd.fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, one);
      const size = new Uint8Array(4);
      new DataView(size.buffer).setUint32(0, 1024 * 1024, true);
      setsockopt(fd.fd, SOL_SOCKET, SO_RCVBUF, size);
      return new NetlinkSocket(fd);
    } catch (error) {
      fd[Symbol.dispose]();
      throw error;
    }
  }

  /** The socket's file descriptor. */
  get fd(): number {
    return this.#fd.fd;
  }

  #message(type: number, flags: number, body: Uint8Array): Uint8Array<ArrayBuffer> {
    const message = new Uint8Array(HEADER_SIZE + body.length);
    const view = new DataView(message.buffer);
    this.#sequence = (this.#sequence + 1) >>> 0;
    view.setUint32(0, message.length, true);
    view.setUint16(4, type, true);
    view.setUint16(6, NLM_F_REQUEST | flags, true);
    view.setUint32(8, this.#sequence, true);
    message.set(body, HEADER_SIZE);
    return message;
  }

  #send(type: number, flags: number, body: Uint8Array): number {
    send(this.#fd.fd, this.#message(type, flags, body));
    return this.#sequence;
  }

  /** The next datagram's messages that answer `sequence`. Their bodies last until the next call. */
  #receive(sequence: number): NetlinkMessage[] {
    const length = recv(this.#fd.fd, this.#buffer, MSG_TRUNC);
    if (length > this.#buffer.length) {
      this.#buffer = new Uint8Array(2 * length);
      throw new KernelError({
        operation: "receive",
        target: "netlink answer",
        errno: 105,
        hint: `the answer has ${length} bytes; try again`,
      });
    }
    return parseMessages(this.#buffer.subarray(0, length)).filter((m) => m.sequence === sequence);
  }

  #refuse(purpose: NetlinkPurpose, { errno, log }: { errno: number; log?: string }): never {
    throw new KernelError({ ...purpose, errno, ...(log === undefined ? {} : { log }) });
  }

  /** Sends a request and waits for its acknowledgement. Throws KernelError with the kernel's words in `log`. */
  request(type: number, flags: number, body: NetlinkBody, purpose: NetlinkPurpose): void {
    this.#acknowledge(this.#send(type, NLM_F_ACK | flags, body.bytes), purpose);
  }

  /**
   * As `request`, but the kernel works on another thread: for what takes it long. No other call of
   * this socket may be made until the promise settles.
   */
  async requestElsewhere(
    type: number,
    flags: number,
    body: NetlinkBody,
    purpose: NetlinkPurpose,
  ): Promise<void> {
    const message = this.#message(type, NLM_F_ACK | flags, body.bytes);
    const sequence = this.#sequence;
    using memory = new NativeMemory(message.length);
    memory.bytes.set(message);
    await sendElsewhere(this.#fd.fd, memory);
    this.#acknowledge(sequence, purpose);
  }

  #acknowledge(sequence: number, purpose: NetlinkPurpose): void {
    while (true) {
      for (const message of this.#receive(sequence)) {
        if (message.type !== NLMSG_ERROR) continue;
        const result = acknowledgement(message);
        if (result.errno !== 0) this.#refuse(purpose, result);
        return;
      }
    }
  }

  /** Asks for one object. Throws KernelError, ENOENT or ENODEV among them when it is not there. */
  get(type: number, body: NetlinkBody, purpose: NetlinkPurpose): Uint8Array {
    const sequence = this.#send(type, 0, body.bytes);
    while (true) {
      for (const message of this.#receive(sequence)) {
        if (message.type === NLMSG_ERROR) this.#refuse(purpose, acknowledgement(message));
        return message.body.slice();
      }
    }
  }

  /** Asks for all objects of a kind; again from the start when they changed meanwhile. */
  dump(type: number, body: NetlinkBody, purpose: NetlinkPurpose): Uint8Array[] {
    for (let attempt = 1;; attempt++) {
      const rows = this.#dumpOnce(type, body, purpose);
      if (rows) return rows;
      if (attempt === DUMP_ATTEMPTS) {
        throw new KernelError({
          ...purpose,
          errno: 4,
          hint: `the kernel's table changed during each of ${DUMP_ATTEMPTS} attempts; try again`,
        });
      }
    }
  }

  #dumpOnce(type: number, body: NetlinkBody, purpose: NetlinkPurpose): Uint8Array[] | undefined {
    const rows: Uint8Array[] = [];
    let interrupted = false;
    const sequence = this.#send(type, NLM_F_DUMP, body.bytes);
    while (true) {
      for (const message of this.#receive(sequence)) {
        if (message.flags & NLM_F_DUMP_INTR) interrupted = true;
        if (message.type === NLMSG_ERROR || message.type === NLMSG_DONE) {
          const result = acknowledgement(message);
          if (result.errno !== 0) this.#refuse(purpose, result);
          return interrupted ? undefined : rows;
        }
        if (message.type === NLMSG_OVERRUN) return undefined;
        rows.push(message.body.slice());
        if (!(message.flags & NLM_F_MULTI)) return rows;
      }
    }
  }

  [Symbol.dispose](): void {
    this.#fd[Symbol.dispose]();
  }
}

/** Runs a deletion; a thing that is gone already is as good. Returns whether it was there. */
export function deleteIfThere(remove: () => void): boolean {
  try {
    remove();
    return true;
  } catch (error) {
    if (isErrno(error, "ENOENT", "ESRCH", "ENODEV", "EADDRNOTAVAIL")) return false;
    throw error;
  }
}
