/**
 * Notices of the kernel about its own network configuration: rtnetlink multicast groups, read without
 * blocking the thread. Constants: include/uapi/linux/rtnetlink.h.
 */

import {
  bind,
  eventfd,
  type FileDescriptor,
  poll,
  recv,
  setsockopt,
  signal,
  socket,
} from "../bpf/ffi/libc.ts";
import { NativeMemory } from "../bpf/ffi/memory.ts";
import { isErrno } from "../bpf/kernel_error.ts";
import { type LinkAddress, parseAddress } from "./address.ts";
import { type Link, parseLink } from "./link.ts";
import { NETLINK_ROUTE } from "./netlink.ts";
import {
  attributeNumber,
  type NetlinkMessage,
  parseAttributes,
  parseMessages,
} from "./netlink_message.ts";
import { inNamespace } from "./netns.ts";
import { parseRoute, type Route } from "./route.ts";

const AF_NETLINK = 16, SOCK_RAW = 3, SOCK_NONBLOCK = 0o4000;
const SOL_SOCKET = 1, SO_RCVBUF = 8, SO_RCVBUFFORCE = 33;
const SOL_NETLINK = 270, NETLINK_ADD_MEMBERSHIP = 1;
const MSG_TRUNC = 0x20;
const POLLIN = 1;
const RECEIVE_BUFFER = 4 << 20;

const RTM_NEWLINK = 16, RTM_DELLINK = 17, RTM_NEWADDR = 20, RTM_DELADDR = 21;
const RTM_NEWROUTE = 24, RTM_DELROUTE = 25;
const RTM_NEWNETCONF = 80;
const NETCONFMSG_SIZE = 4; // with its padding
const NETCONFA_IFINDEX = 1, NETCONFA_FORWARDING = 2, NETCONFA_RP_FILTER = 3;

/** Multicast groups: enum rtnetlink_groups. */
const GROUPS = {
  link: [1],
  address: [5, 9],
  route: [7, 11],
  netconf: [24, 25],
} as const;

/** What there are notices about; `netconf` are sysctls of forwarding and reverse-path checks. */
export type NoticeKind = keyof typeof GROUPS;

/** One thing that has changed. */
export type Notice =
  | { kind: "link"; gone: boolean; link: Link }
  | { kind: "address"; gone: boolean; address: LinkAddress }
  | { kind: "route"; gone: boolean; route: Route }
  /** Of one device, or of all (-1) or those to come (-2); what has not changed is undefined. */
  | { kind: "netconf"; ifindex: number; forwarding?: number; rpFilter?: number }
  /** Notices were lost, or one could not be read: everything has to be read anew. */
  | { kind: "overrun" };

/** What a message says; undefined for kinds without interest. Throws TypeError when it is malformed. */
function parseNotice({ type, body }: NetlinkMessage): Notice | undefined {
  switch (type) {
    case RTM_NEWLINK:
    case RTM_DELLINK: {
      // family AF_BRIDGE: a port's settings, not the device
      if (body[0] !== 0) return undefined;
      return { kind: "link", gone: type === RTM_DELLINK, link: parseLink(body) };
    }
    case RTM_NEWADDR:
    case RTM_DELADDR:
      return { kind: "address", gone: type === RTM_DELADDR, address: parseAddress(body) };
    case RTM_NEWROUTE:
    case RTM_DELROUTE: {
      const route = parseRoute(body);
      return route && { kind: "route", gone: type === RTM_DELROUTE, route };
    }
    case RTM_NEWNETCONF: {
      const attributes = parseAttributes(body.subarray(NETCONFMSG_SIZE));
      const number = (type: number) => attributeNumber(attributes.get(type));
      const forwarding = number(NETCONFA_FORWARDING), rpFilter = number(NETCONFA_RP_FILTER);
      return {
        kind: "netconf",
        ifindex: (number(NETCONFA_IFINDEX) ?? -1) | 0,
        ...(forwarding === undefined ? {} : { forwarding }),
        ...(rpFilter === undefined ? {} : { rpFilter }),
      };
    }
  }
  return undefined;
}

/** The notices of one datagram; a malformed message is an overrun. */
export function parseNotices(datagram: Uint8Array): Notice[] {
  try {
    return parseMessages(datagram).map(parseNotice).filter((notice) => notice !== undefined);
  } catch (error) {
    if (error instanceof TypeError || error instanceof RangeError) return [{ kind: "overrun" }];
    throw error;
  }
}

export interface NoticeOptions {
  kinds: readonly NoticeKind[];
  /** Called with what has come, in order. */
  listener: (notices: readonly Notice[]) => void;
  /** File descriptor of the namespace. @default the calling thread's */
  netns?: number;
}

/** Notices of one namespace from `open` on, until disposed of. */
export class Notices implements AsyncDisposable {
  readonly #fd: FileDescriptor;
  readonly #stop = eventfd();
  readonly #pollfds = new NativeMemory(16);
  readonly #listener: NoticeOptions["listener"];
  #buffer = new Uint8Array(64 * 1024);
  #stopped = false;
  readonly #reading: Promise<void>;

  private constructor(fd: FileDescriptor, listener: NoticeOptions["listener"]) {
    this.#fd = fd;
    this.#listener = listener;
    const { view } = this.#pollfds;
    view.setInt32(0, fd.fd, true);
    view.setInt16(4, POLLIN, true);
    view.setInt32(8, this.#stop.fd, true);
    view.setInt16(12, POLLIN, true);
    this.#reading = this.#run();
  }

  /** Throws KernelError. */
  static open({ kinds, listener, netns }: NoticeOptions): Notices {
    const make = () => socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK, NETLINK_ROUTE);
    const fd = netns === undefined ? make() : inNamespace(netns, make);
    try {
      setReceiveBuffer(fd);
      const address = new Uint8Array(12);
      new DataView(address.buffer).setUint16(0, AF_NETLINK, true);
      bind(fd.fd, address);
      for (const group of kinds.flatMap((kind) => [...GROUPS[kind]])) {
        setsockopt(fd.fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, numberBytes(group));
      }
      return new Notices(fd, listener);
    } catch (error) {
      fd[Symbol.dispose]();
      throw error;
    }
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      await poll(this.#pollfds.pointer, 2, -1);
      if (this.#stopped) return;
      const notices = this.#receive();
      if (notices.length === 0) continue;
      try {
        this.#listener(notices);
      } catch (error) {
        reportError(error);
      }
    }
  }

  /** Everything that is there; a full queue of the kernel, which lost some, is an overrun. */
  #receive(): Notice[] {
    const notices: Notice[] = [];
    while (true) {
      let length: number;
      try {
        length = recv(this.#fd.fd, this.#buffer, MSG_TRUNC);
      } catch (error) {
        if (isErrno(error, "EINTR")) continue;
        if (isErrno(error, "EAGAIN")) return notices;
        notices.push({ kind: "overrun" });
        if (isErrno(error, "ENOBUFS")) continue;
        return notices;
      }
      if (length > this.#buffer.length) {
        this.#buffer = new Uint8Array(2 * length);
        notices.push({ kind: "overrun" });
        continue;
      }
      // rows keep parts of the datagram
      notices.push(...parseNotices(this.#buffer.slice(0, length)));
    }
  }

  /** Resolves when the listener is not called any more. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    signal(this.#stop.fd); // the other thread still reads the pollfds
    await this.#reading;
    this.#fd[Symbol.dispose]();
    this.#stop[Symbol.dispose]();
    this.#pollfds[Symbol.dispose]();
  }
}

function numberBytes(value: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new Uint32Array([value]).buffer);
}

/** As large as asked for where this process may exceed the system's limit, else up to it. */
function setReceiveBuffer(fd: FileDescriptor): void {
  try {
    setsockopt(fd.fd, SOL_SOCKET, SO_RCVBUFFORCE, numberBytes(RECEIVE_BUFFER));
  } catch (error) {
    if (!isErrno(error, "EPERM")) throw error;
    setsockopt(fd.fd, SOL_SOCKET, SO_RCVBUF, numberBytes(RECEIVE_BUFFER));
  }
}
