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
  recvElsewhere,
  send,
  setsockopt,
  socket,
} from "./bpf/ffi/libc.ts";
import { NativeMemory } from "./bpf/ffi/memory.ts";
import { KernelError } from "./bpf/kernel_error.ts";
import { readObject } from "./objects.ts";

/** What the operator wants; `auto` follows the probe. */
export type SockmapChoice = "auto" | "on" | "off";

export interface SockmapState {
  on: boolean;
  /** Why it is so. */
  reason: string;
}

const AF_INET = 2, SOCK_STREAM = 1, SOL_SOCKET = 1, SO_SNDBUF = 7, SO_MEMINFO = 55;
/** Bytes that the probe sends: more than what a kernel without accounting could show by chance. */
const PROBE_BYTES = 16_384;
const SNDBUF_BYTES = 65_536;
/** How often, and milliseconds apart, a receiver that waits is woken. */
const WAKES = 5, WAKE_INTERVAL_MS = 5;
/** How long it may take to wait: its thread may have others before it. */
const BLOCKED_TIMEOUT_MS = 10_000;
/** recvfrom, by which the C library receives: asm/unistd_64.h, asm-generic/unistd.h. */
const RECVFROM = { x86_64: 45, aarch64: 207 }[Deno.build.arch];

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

/** Bytes go from socket to socket: do they arrive, and is the receiver charged for them? */
function bytesTrouble(client: FileDescriptor, server: FileDescriptor): string | undefined {
  send(client.fd, new Uint8Array(PROBE_BYTES));
  const charged = waiting(server);
  const got = recv(server.fd, new Uint8Array(PROBE_BYTES));
  if (got !== PROBE_BYTES) return `of ${PROBE_BYTES} bytes ${got} arrived`;
  if (charged < PROBE_BYTES) {
    return "this kernel does not count bytes for the receiver (Linux 6.13 does), " +
      "so that nothing would stop a sender whose receiver does not read";
  }
  return undefined;
}

/** Whether a thread of this process waits in recv(2) on the descriptor. */
function someoneReceives(fd: number): boolean {
  const call = `${RECVFROM} 0x${fd.toString(16)} `;
  for (const { name } of Deno.readDirSync("/proc/self/task")) {
    try {
      if (Deno.readTextFileSync(`/proc/self/task/${name}/syscall`).startsWith(call)) return true;
    } catch {
      // the thread has ended, or the kernel does not say
    }
  }
  return false;
}

/**
 * Wakes who waits in recv(2) for a reason that is not data, as room to send is for another thread
 * that sends: does it wait on? Kernels leave recv(2) with EAGAIN, though the socket is a blocking one.
 */
async function wakeTrouble(
  client: FileDescriptor,
  server: FileDescriptor,
): Promise<string | undefined> {
  using byte = new NativeMemory(1);
  let result: number | undefined;
  const waiting = recvElsewhere(server.fd, byte).then((got) => result = got);
  const size = new Uint8Array(new Uint32Array([SNDBUF_BYTES]).buffer);
  const pause = () => new Promise((resolve) => setTimeout(resolve, WAKE_INTERVAL_MS));
  const deadline = performance.now() + BLOCKED_TIMEOUT_MS;
  let blocked = false;
  while (!(blocked = someoneReceives(server.fd)) && performance.now() < deadline) await pause();
  for (let i = 0; blocked && i < WAKES && result === undefined; i++) {
    setsockopt(server.fd, SOL_SOCKET, SO_SNDBUF, size);
    await pause();
  }
  if (result === undefined) send(client.fd, new Uint8Array(1));
  const ended = await waiting < 0;
  if (!blocked) return "whether recv(2) waits for data alone could not be found out in time";
  if (!ended) return undefined;
  return "this kernel ends a blocking recv(2) with EAGAIN when another thread sends on the socket; " +
    "programs with non-blocking sockets are safe with --sockmap on";
}

/** What keeps this kernel's sockets from it. Throws KernelError. */
async function probe(): Promise<string | undefined> {
  using object = BpfObject.open(readObject("probe")).load();
  using program = object.program("probe_redirect");
  using map = object.map("probe_sockets");
  const [client, server] = connectedPair();
  using _client = client;
  using _server = server;
  attachVerdict(program, map);
  [client, server].forEach(({ fd }, key) =>
    map.set(
      new Uint8Array(new Uint32Array([key]).buffer),
      new Uint8Array(new BigUint64Array([BigInt(fd)]).buffer),
    )
  );
  return bytesTrouble(client, server) ?? await wakeTrouble(client, server);
}

/** What the operator's choice means on this kernel. */
export async function chooseSockmap(choice: SockmapChoice): Promise<SockmapState> {
  if (choice === "off") return { on: false, reason: "--sockmap off" };
  let trouble: string | undefined;
  try {
    trouble = await probe();
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    return { on: false, reason: `no messages between sockets: ${error.message}` };
  }
  if (trouble === undefined) {
    return { on: true, reason: "pods of this node send TCP from socket to socket" };
  }
  return {
    on: choice === "on",
    reason: `${choice === "on" ? "--sockmap on, but " : ""}${trouble}`,
  };
}
