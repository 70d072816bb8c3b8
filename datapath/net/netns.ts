/**
 * Network namespaces. A namespace belongs to a thread, so every visit is one synchronous burst on
 * the calling thread that ends where it began.
 */

import {
  CLONE_NEWNET,
  FileDescriptor,
  fstatfsType,
  getsockopt,
  mount,
  O_NONBLOCK,
  O_RDONLY,
  setns,
  socket,
  umount,
  unshare,
} from "../bpf/ffi/libc.ts";
import { ERRNO, KernelError } from "../bpf/kernel_error.ts";

const MS_BIND = 0x1000, MNT_DETACH = 2;

/** Not /proc/self: that is the main thread's namespace, whichever thread asks. */
const OWN_NAMESPACE = "/proc/thread-self/ns/net";

/** The magic number of the file system that namespaces are on (linux/magic.h). */
const NSFS_MAGIC = 0x6e736673;

/**
 * Opens a namespace by path: a bind mount such as /run/netns/x, or /proc/PID/ns/net. Does not wait for
 * anything else that may be there, as a FIFO. Throws KernelError, EINVAL for what is no namespace.
 */
export function openNamespace(path: string): FileDescriptor {
  const opened = FileDescriptor.open(path, O_RDONLY | O_NONBLOCK);
  try {
    if (fstatfsType(opened.fd, path) === NSFS_MAGIC) return opened;
    throw new KernelError({
      operation: "open",
      target: path,
      errno: ERRNO.EINVAL,
      hint: "it is no namespace",
    });
  } catch (error) {
    opened[Symbol.dispose]();
    throw error;
  }
}

/** Opens the namespace of the calling thread. */
export function currentNamespace(): FileDescriptor {
  return openNamespace(OWN_NAMESPACE);
}

/** The number by which programs know the calling thread's namespace (SO_NETNS_COOKIE, Linux 5.14). */
export function namespaceCookie(): bigint {
  const AF_INET = 2, SOCK_DGRAM = 2, SOL_SOCKET = 1, SO_NETNS_COOKIE = 71;
  using probe = socket(AF_INET, SOCK_DGRAM, 0);
  const cookie = new Uint8Array(8);
  getsockopt(probe.fd, SOL_SOCKET, SO_NETNS_COOKIE, cookie);
  return new DataView(cookie.buffer).getBigUint64(0, true);
}

/** Device and inode of a namespace: the same for every path to it. Throws Deno.errors.NotFound. */
export function namespaceId(path: string): string {
  const { dev, ino } = Deno.statSync(path);
  return `${dev}:${ino}`;
}

/** `enter`, `burst`, and home again. A thread that cannot go home must not go on: the process ends. */
function excursion<T>(enter: () => void, burst: () => T): T {
  using home = currentNamespace();
  enter();
  let result: T;
  try {
    result = burst();
  } finally {
    try {
      setns(home.fd, CLONE_NEWNET, "home");
    } catch (error) {
      console.error(`Fatal: the thread is stuck in another network namespace: ${error}`);
      Deno.exit(70);
    }
  }
  if (result instanceof Promise) {
    throw new TypeError("A burst in another namespace must be synchronous, and it gave a promise");
  }
  return result;
}

/**
 * Runs `burst` inside the namespace of the file descriptor and comes back. `burst` must be
 * synchronous. Throws KernelError when the descriptor is no network namespace.
 */
export function inNamespace<T>(netns: number, burst: () => T): T {
  return excursion(() => setns(netns, CLONE_NEWNET, `of file descriptor ${netns}`), burst);
}

/**
 * Makes a namespace and binds it to `path`, which must not exist; it lives until deleteNamespace.
 * The directory is not made. Throws Deno.errors.AlreadyExists or KernelError.
 */
export function createNamespace(path: string): void {
  Deno.openSync(path, { write: true, createNew: true, mode: 0o444 }).close();
  try {
    excursion(
      () => unshare(CLONE_NEWNET),
      () => mount(OWN_NAMESPACE, path, "none", MS_BIND),
    );
  } catch (error) {
    Deno.removeSync(path);
    throw error;
  }
}

/** Unbinds a namespace that createNamespace made and removes the path. */
export function deleteNamespace(path: string): void {
  umount(path, MNT_DETACH);
  Deno.removeSync(path);
}

/** A sysctl under net/ and its value: `["ipv4/conf/eth0/rp_filter", "0"]`. */
export type NetSysctl = readonly [name: string, value: string];

function sysctlPath(name: string): string {
  if (name.startsWith("/") || name.split("/").includes("..") || name.includes("\0")) {
    throw new TypeError(`Not the name of a network sysctl: ${JSON.stringify(name)}`);
  }
  return `/proc/sys/net/${name}`;
}

/**
 * Writes sysctls in the calling thread's namespace (within inNamespace: in that one). Names are
 * relative to /proc/sys/net with slashes, as device names may hold dots. Values that are right
 * already are not written, so a read-only /proc/sys is no error then.
 */
export function writeSysctls(sysctls: Iterable<NetSysctl>): void {
  for (const [name, value] of sysctls) {
    if (readSysctl(name, value.length + 2) === value) continue;
    try {
      // the line's end, so that an empty value is written, too
      Deno.writeTextFileSync(sysctlPath(name), `${value}\n`, { create: false });
    } catch (cause) {
      throw new Error(
        `Cannot set sysctl net/${name} to ${value}: ${(cause as Error).message}`,
        { cause },
      );
    }
  }
}

/**
 * A sysctl's value in the calling thread's namespace, cut off after `maxBytes`; undefined when there
 * is none of that name.
 */
export function readSysctl(name: string, maxBytes = 4096): string | undefined {
  try {
    using file = Deno.openSync(sysctlPath(name));
    // the kernel answers the first read only
    const bytes = new Uint8Array(maxBytes);
    return new TextDecoder().decode(bytes.subarray(0, file.readSync(bytes) ?? 0)).trim();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
