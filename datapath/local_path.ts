/** Whether connections within the node may go from socket to socket (bpf/sockmap.bpf.c), and why. */

import { attachVerdict, BpfObject } from "./bpf/mod.ts";
import {
  accept,
  bind,
  connect,
  type FileDescriptor,
  getsockname,
  getsockopt,
  listen,
  recv,
  send,
  socket,
} from "./ffi/libc.ts";
import { KernelError } from "./kernel_error.ts";
import { readObject } from "./objects.ts";

/** What the operator wants; `auto` follows the probe. */
export type LocalPathChoice = "auto" | "on" | "off";

export interface LocalPathState {
  on: boolean;
  /** Why it is so. */
  reason: string;
}

const AF_INET = 2, SOCK_STREAM = 1, SOL_SOCKET = 1, SO_MEMINFO = 55;
/** Bytes that the probe sends: more than what a kernel without accounting could show by chance. */
const PROBE_BYTES = 16_384;

/** struct sockaddr_in of 127.0.0.1 and any port. */
function loopback(): Uint8Array<ArrayBuffer> {
  const address = new Uint8Array(16);
  new DataView(address.buffer).setUint16(0, AF_INET, true);
  address.set([127, 0, 0, 1], 4);
  return address;
}

/** Two connected sockets of this process. */
function connectedPair(): [FileDescriptor, FileDescriptor] {
  using listener = socket(AF_INET, SOCK_STREAM, 0);
  const address = loopback();
  bind(listener.fd, address);
  listen(listener.fd, 1);
  getsockname(listener.fd, address);
  const client = socket(AF_INET, SOCK_STREAM, 0);
  try {
    connect(client.fd, address);
    return [client, accept(listener.fd)];
  } catch (error) {
    client[Symbol.dispose]();
    throw error;
  }
}

/** Bytes that wait in the socket's queue, by SO_MEMINFO. */
function waiting({ fd }: FileDescriptor): number {
  const info = new Uint32Array(9);
  getsockopt(fd, SOL_SOCKET, SO_MEMINFO, new Uint8Array(info.buffer));
  return info[0]!;
}

/**
 * Sends bytes from socket to socket, and looks whether they arrive and whether the receiver is
 * charged for them: without that nothing would tell a sender to stop. Throws KernelError.
 */
function probe(): string | undefined {
  using object = BpfObject.open(readObject("probe")).load();
  using program = object.program("probe_redirect");
  using map = object.map("probe_sockets");
  const [client, server] = connectedPair();
  try {
    attachVerdict(program, map);
    [client, server].forEach(({ fd }, key) =>
      map.set(
        new Uint8Array(new Uint32Array([key]).buffer),
        new Uint8Array(new BigUint64Array([BigInt(fd)]).buffer),
      )
    );
    send(client.fd, new Uint8Array(PROBE_BYTES));
    const charged = waiting(server);
    const got = recv(server.fd, new Uint8Array(PROBE_BYTES));
    if (got !== PROBE_BYTES) return `of ${PROBE_BYTES} bytes ${got} arrived`;
    if (charged < PROBE_BYTES) {
      return "this kernel does not count them for the receiver (Linux 6.13 does), " +
        "so that nothing would stop a sender whose receiver does not read";
    }
    return undefined;
  } finally {
    client[Symbol.dispose]();
    server[Symbol.dispose]();
  }
}

/** What the operator's choice means on this kernel. */
export function chooseLocalPath(choice: LocalPathChoice): LocalPathState {
  if (choice === "off") return { on: false, reason: "--local-path off" };
  let trouble: string | undefined;
  try {
    trouble = probe();
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    return { on: false, reason: `no messages between sockets: ${error.message}` };
  }
  if (trouble === undefined) {
    return { on: true, reason: "pods of this node send TCP from socket to socket" };
  }
  return {
    on: choice === "on",
    reason: `${choice === "on" ? "--local-path on, but " : ""}${trouble}`,
  };
}
