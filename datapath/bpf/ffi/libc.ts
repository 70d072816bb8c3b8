/** The C library's calls that the datapath needs; every wrapper throws KernelError. */

import { ERRNO, KernelError } from "../kernel_error.ts";
import { cstring, type NativeMemory } from "./memory.ts";

const { symbols: c } = Deno.dlopen("libc.so.6", {
  __errno_location: { parameters: [], result: "pointer" },
  open: { parameters: ["buffer", "i32", "u32"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  bind: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  listen: { parameters: ["i32", "i32"], result: "i32" },
  connect: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  accept4: { parameters: ["i32", "pointer", "pointer", "i32"], result: "i32" },
  setsockopt: { parameters: ["i32", "i32", "i32", "buffer", "u32"], result: "i32" },
  getsockopt: { parameters: ["i32", "i32", "i32", "buffer", "buffer"], result: "i32" },
  getsockname: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  ioctl: { parameters: ["i32", "u64", "buffer"], result: "i32" },
  ioctl_number: { name: "ioctl", parameters: ["i32", "u64", "u64"], result: "i32" },
  send: { parameters: ["i32", "buffer", "usize", "i32"], result: "isize" },
  recv: { parameters: ["i32", "buffer", "usize", "i32"], result: "isize" },
  setns: { parameters: ["i32", "i32"], result: "i32" },
  unshare: { parameters: ["i32"], result: "i32" },
  mount: { parameters: ["buffer", "buffer", "buffer", "u64", "pointer"], result: "i32" },
  umount2: { parameters: ["buffer", "i32"], result: "i32" },
  clock_gettime: { parameters: ["i32", "buffer"], result: "i32" },
  flock: { parameters: ["i32", "i32"], result: "i32" },
  geteuid: { parameters: [], result: "u32" },
  fstatfs: { parameters: ["i32", "buffer"], result: "i32" },
  statfs: { parameters: ["buffer", "buffer"], result: "i32" },
  mmap: { parameters: ["pointer", "usize", "i32", "i32", "i32", "i64"], result: "pointer" },
  sysconf: { parameters: ["i32"], result: "i64" },
  readlink: { parameters: ["buffer", "buffer", "usize"], result: "isize" },
  munmap: { parameters: ["pointer", "usize"], result: "i32" },
  eventfd: { parameters: ["u32", "i32"], result: "i32" },
  read: { parameters: ["i32", "buffer", "usize"], result: "isize" },
  write: { parameters: ["i32", "buffer", "usize"], result: "isize" },
  memcmp: { parameters: ["buffer", "buffer", "usize"], result: "i32" },
  mallopt: { parameters: ["i32", "i32"], result: "i32" },
  malloc_trim: { parameters: ["usize"], result: "i32" },
  fcntl: { parameters: ["i32", "i32", "i32"], result: "i32" },
  poll: { parameters: ["pointer", "u64", "i32"], result: "i32", nonblocking: true },
  poll_here: { name: "poll", parameters: ["buffer", "u64", "i32"], result: "i32" },
  recv_elsewhere: {
    name: "recv",
    parameters: ["i32", "pointer", "usize", "i32"],
    result: "isize",
    nonblocking: true,
  },
  send_elsewhere: {
    name: "send",
    parameters: ["i32", "pointer", "usize", "i32"],
    result: "isize",
    nonblocking: true,
  },
});

/** errno of the calling thread; read it right after the call that failed. */
export function errno(): number {
  const location = c.__errno_location();
  return new Deno.UnsafePointerView(location as Deno.PointerObject).getInt32();
}

/** `result` when it is not negative, else throws the KernelError for the thread's errno. */
export function check<T extends number | bigint>(
  result: T,
  operation: string,
  target: string,
  hint?: string,
): T {
  if (result >= 0) return result;
  throw new KernelError({ operation, target, errno: errno(), ...(hint ? { hint } : {}) });
}

/** Whether every byte is zero: the first one is, and each next one is like the one before. */
export function isZero(bytes: Uint8Array<ArrayBuffer>): boolean {
  const length = bytes.length;
  return length === 0 ||
    bytes[0] === 0 && c.memcmp(bytes, bytes.subarray(1), BigInt(length - 1)) === 0;
}

/** Flags of open(2), asm-generic/fcntl.h. */
export const O_RDONLY = 0, O_NONBLOCK = 0o4000;

const O_CLOEXEC = 0o2000000;

/** Bytes of a page of memory: 4 KiB on x86-64; 4, 16 or 64 KiB on arm64. */
export function pageSize(): number {
  const SC_PAGESIZE = 30;
  return Number(c.sysconf(SC_PAGESIZE));
}

/** What a descriptor is of, as /proc names it: a path, or `anon_inode:bpf-map`. */
export function describeFd(fd: number): string {
  const text = new Uint8Array(4096);
  const path = `/proc/self/fd/${fd}`;
  const length = check(c.readlink(cstring(path), text, BigInt(text.length)), "read link", path);
  return new TextDecoder().decode(text.subarray(0, Number(length)));
}

/** A file descriptor that closes itself. */
export class FileDescriptor implements Disposable {
  #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
  }

  static open(path: string, flags: number = O_RDONLY): FileDescriptor {
    return new FileDescriptor(check(c.open(cstring(path), flags | O_CLOEXEC, 0), "open", path));
  }

  /** The number. Throws when it is closed. */
  get fd(): number {
    if (this.#fd < 0) throw new TypeError("File descriptor is closed");
    return this.#fd;
  }

  get closed(): boolean {
    return this.#fd < 0;
  }

  [Symbol.dispose](): void {
    if (this.#fd >= 0) c.close(this.#fd);
    this.#fd = -1;
  }
}

/** socket(2), close-on-exec. */
export function socket(family: number, type: number, protocol: number): FileDescriptor {
  const SOCK_CLOEXEC = 0o2000000;
  const fd = c.socket(family, type | SOCK_CLOEXEC, protocol);
  return new FileDescriptor(check(fd, "open", `socket(${family}, ${type}, ${protocol})`));
}

export function bind(fd: number, address: Uint8Array<ArrayBuffer>): void {
  check(c.bind(fd, address, address.length), "bind", "socket");
}

export function listen(fd: number, backlog: number): void {
  check(c.listen(fd, backlog), "listen on", "socket");
}

export function connect(fd: number, address: Uint8Array<ArrayBuffer>): void {
  check(c.connect(fd, address, address.length), "connect", "socket");
}

/** accept4(2), close-on-exec. */
export function accept(fd: number): FileDescriptor {
  const SOCK_CLOEXEC = 0o2000000;
  return new FileDescriptor(check(c.accept4(fd, null, null, SOCK_CLOEXEC), "accept on", "socket"));
}

/**
 * Has memory of more than 256 KiB go back to the system when it is freed: glibc otherwise keeps as much
 * as the largest piece there ever was, for each thread (malloc.h: M_MMAP_THRESHOLD, M_TRIM_THRESHOLD).
 */
export function returnLargeMemory(): void {
  const M_TRIM_THRESHOLD = -1, M_MMAP_THRESHOLD = -3;
  for (const parameter of [M_TRIM_THRESHOLD, M_MMAP_THRESHOLD]) c.mallopt(parameter, 256 << 10);
}

/** Gives memory that malloc keeps unused back to the system. */
export function trimMemory(): void {
  c.malloc_trim(0n);
}

/** Fills `address` with the socket's own. */
export function getsockname(fd: number, address: Uint8Array<ArrayBuffer>): void {
  check(c.getsockname(fd, address, new Uint32Array([address.length])), "name", "socket");
}

export function setsockopt(
  fd: number,
  level: number,
  name: number,
  value: Uint8Array<ArrayBuffer>,
): void {
  check(
    c.setsockopt(fd, level, name, value, value.length),
    "set",
    `socket option ${level}/${name}`,
  );
}

/** Fills `value` with the option. */
export function getsockopt(
  fd: number,
  level: number,
  name: number,
  value: Uint8Array<ArrayBuffer>,
): void {
  const length = new Uint32Array([value.length]);
  check(
    c.getsockopt(fd, level, name, value, length),
    "read",
    `socket option ${level}/${name}`,
  );
}

/** ioctl(2) with a number. */
export function ioctlNumber(
  fd: number,
  request: number,
  value: bigint,
  operation: string,
  target: string,
): void {
  check(c.ioctl_number(fd, BigInt(request), value), operation, target);
}

/** ioctl(2) with a structure that the kernel reads and writes. */
export function ioctl(
  fd: number,
  request: number,
  data: Uint8Array<ArrayBuffer>,
  operation: string,
  target: string,
): void {
  check(c.ioctl(fd, BigInt(request), data), operation, target);
}

/** Sends the whole buffer; returns the number of bytes. */
export function send(fd: number, data: Uint8Array<ArrayBuffer>, flags = 0): number {
  return Number(check(c.send(fd, data, BigInt(data.length), flags), "send on", "socket"));
}

/** Receives into the buffer; returns the number of bytes. Throws KernelError EAGAIN when nothing is there. */
export function recv(fd: number, data: Uint8Array<ArrayBuffer>, flags = 0): number {
  return Number(check(c.recv(fd, data, BigInt(data.length), flags), "receive on", "socket"));
}

/** read(2) into the buffer; returns the number of bytes, 0 at the end. */
export function read(fd: number, into: Uint8Array<ArrayBuffer>, target: string): number {
  return Number(check(c.read(fd, into, BigInt(into.length)), "read", target));
}

/** clone(2) flag of network namespaces, linux/sched.h. */
export const CLONE_NEWNET = 0x40000000;

/** Moves the calling thread into the namespace; only for one synchronous burst. */
export function setns(fd: number, type: number, target: string): void {
  check(c.setns(fd, type), "enter namespace", target);
}

/** Gives the calling thread a new namespace; only for one synchronous burst. */
export function unshare(flags: number): void {
  check(c.unshare(flags), "create", "namespace");
}

export function mount(source: string, target: string, type: string, flags: number): void {
  check(
    c.mount(cstring(source), cstring(target), cstring(type), BigInt(flags), null),
    `mount ${type} on`,
    target,
  );
}

export function umount(target: string, flags = 0): void {
  check(c.umount2(cstring(target), flags), "unmount", target);
}

function clockNs(clock: number, name: string): bigint {
  const timespec = new BigInt64Array(2);
  check(c.clock_gettime(clock, timespec), "read", name);
  return timespec[0]! * 1_000_000_000n + timespec[1]!;
}

/** CLOCK_REALTIME: nanoseconds since 1970. */
export function realtimeNs(): bigint {
  return clockNs(0, "CLOCK_REALTIME");
}

/** CLOCK_MONOTONIC in nanoseconds: the clock of bpf_ktime_get_ns and bpf_ktime_get_coarse_ns. */
export function monotonicNs(): bigint {
  return clockNs(1, "CLOCK_MONOTONIC");
}

/** The effective user id. */
export function geteuid(): number {
  return c.geteuid();
}

/** flock(2) of the whole file, without waiting. Returns false when another process holds it. */
export function tryLock(fd: number, target: string): boolean {
  const LOCK_EX = 2, LOCK_NB = 4, EWOULDBLOCK = 11;
  const result = c.flock(fd, LOCK_EX | LOCK_NB);
  if (result < 0 && errno() === EWOULDBLOCK) return false;
  check(result, "lock", target);
  return true;
}

/** The file system's magic number (statfs(2) f_type) of `path`. */
export function statfsType(path: string): number {
  const buffer = new BigUint64Array(15); // struct statfs of 64-bit Linux: 120 bytes, f_type first
  check(c.statfs(cstring(path), buffer), "read the file system of", path);
  return Number(buffer[0]!);
}

/** As {@linkcode statfsType} for what is open. */
export function fstatfsType(fd: number, target: string): number {
  const buffer = new BigUint64Array(15);
  check(c.fstatfs(fd, buffer), "read the file system of", target);
  return Number(buffer[0]!);
}

/** Bytes that may still be written to the file system of `path`; undefined when it is read-only. */
export function statfsRoom(path: string): number | undefined {
  const ST_RDONLY = 1n;
  const buffer = new BigUint64Array(15); // f_type, f_bsize, f_blocks, f_bfree, f_bavail, …, f_flags
  check(c.statfs(cstring(path), buffer), "read the file system of", path);
  return (buffer[10]! & ST_RDONLY) !== 0n ? undefined : Number(buffer[1]! * buffer[4]!);
}

/** Protections of mmap(2). */
export const PROT_READ = 1, PROT_WRITE = 2, PROT_EXEC = 4;

/** A shared mapping of a descriptor, unmapped on dispose. Nothing may touch `buffer` after that. */
export class Mapping implements Disposable {
  readonly buffer: ArrayBuffer;
  #pointer: Deno.PointerObject | null;
  #size: number;

  constructor(fd: number, size: number, protection: number, offset: number, target: string) {
    const MAP_SHARED = 1;
    const pointer = c.mmap(null, BigInt(size), protection, MAP_SHARED, fd, BigInt(offset));
    const failed = Deno.UnsafePointer.value(pointer) === 0xffff_ffff_ffff_ffffn;
    check(failed ? -1 : 0, "map", target);
    this.#pointer = pointer as Deno.PointerObject;
    this.#size = size;
    this.buffer = Deno.UnsafePointerView.getArrayBuffer(this.#pointer, size);
  }

  [Symbol.dispose](): void {
    if (this.#pointer !== null) c.munmap(this.#pointer, BigInt(this.#size));
    this.#pointer = null;
  }
}

/** eventfd(2): a descriptor that becomes readable by `signal`. */
export function eventfd(): FileDescriptor {
  const EFD_CLOEXEC = O_CLOEXEC, EFD_NONBLOCK = 0o4000;
  return new FileDescriptor(check(c.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "open", "eventfd"));
}

/** Makes an eventfd readable. */
export function signal(fd: number): void {
  check(c.write(fd, new BigUint64Array([1n]), 8n), "signal", "eventfd");
}

/** Makes an eventfd unreadable again. */
export function clearSignal(fd: number): void {
  read(fd, new Uint8Array(8), "eventfd");
}

/**
 * poll(2) on another thread, so that this one goes on. `pollfds` holds `count` structs pollfd and
 * must stay allocated until the promise settles. A negative number means interrupted or failed.
 */
export function poll(
  pollfds: Deno.PointerObject,
  count: number,
  timeoutMs: number,
): Promise<number> {
  return c.poll(pollfds, BigInt(count), timeoutMs);
}

/** poll(2) of one descriptor on this thread: whether it is readable before the time is over. */
export function pollHere(fd: number, timeoutMs: number): boolean {
  const POLLIN = 1;
  const pollfd = new Int32Array([fd, POLLIN]);
  return c.poll_here(pollfd, 1n, timeoutMs) > 0;
}

/** A second descriptor of the same thing, close-on-exec. */
export function dupFd(fd: number): FileDescriptor {
  const F_DUPFD_CLOEXEC = 1030;
  return new FileDescriptor(check(c.fcntl(fd, F_DUPFD_CLOEXEC, 3), "duplicate", `fd ${fd}`));
}

/** recv(2) on another thread, into `data`, which must live until it returns: -1 when it failed. */
export async function recvElsewhere(fd: number, data: NativeMemory): Promise<number> {
  return Number(await c.recv_elsewhere(fd, data.pointer, BigInt(data.size), 0));
}

/**
 * send(2) on another thread, for requests that the kernel does while it takes them. `data` must stay
 * allocated until the promise settles. Throws KernelError EIO when it fails: the other thread's errno
 * cannot be read.
 */
export async function sendElsewhere(fd: number, data: NativeMemory): Promise<void> {
  const sent = await c.send_elsewhere(fd, data.pointer, BigInt(data.size), 0);
  if (sent < 0n) {
    throw new KernelError({ operation: "send on", target: "socket", errno: ERRNO.EIO });
  }
}
