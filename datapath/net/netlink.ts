/**
 * Sockets to the kernel's network configuration.
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
} from "../bpf/ffi/libc.ts";
import { NativeMemory } from "../bpf/ffi/memory.ts";
import { isErrno, KernelError } from "../bpf/kernel_error.ts";
import {
  acknowledgement,
  HEADER_SIZE,
  type NetlinkBody,
  type NetlinkMessage,
  NLMSG_DONE,
  NLMSG_ERROR,
  NLMSG_OVERRUN,
  parseMessages,
} from "./netlink_message.ts";
import { inNamespace } from "./netns.ts";

const AF_NETLINK = 16, SOCK_RAW = 3;

/** Families of netlink: network configuration, and sockets. */
export const NETLINK_ROUTE = 0, NETLINK_SOCK_DIAG = 4;

const SOL_NETLINK = 270, NETLINK_CAP_ACK = 10, NETLINK_EXT_ACK = 11, NETLINK_GET_STRICT_CHK = 12;
const SOL_SOCKET = 1, SO_RCVBUF = 8;
const MSG_TRUNC = 0x20;

const NLM_F_REQUEST = 0x1, NLM_F_MULTI = 0x2, NLM_F_ACK = 0x4, NLM_F_DUMP_INTR = 0x10;
const NLM_F_DUMP = 0x300;

/** Flags of requests that make or change something. */
export const NLM_F_REPLACE = 0x100, NLM_F_EXCL = 0x200, NLM_F_CREATE = 0x400;

/** A dump is begun anew this often when the kernel's table changed under it. */
const DUMP_ATTEMPTS = 8;

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
