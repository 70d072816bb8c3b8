/** Pinned objects: names under a bpffs that keep maps, programs and links alive without a process. */

import { ERRNO, KernelError } from "./kernel_error.ts";
import { cstring } from "./ffi/memory.ts";
import { libbpf } from "./ffi/libbpf.ts";
import { describeFd, FileDescriptor, statfsType } from "./ffi/libc.ts";
import { bpfError, checkBpf } from "./errors.ts";

/** BPF_FS_MAGIC of include/uapi/linux/magic.h. */
const BPF_FS_MAGIC = 0xcafe4a11;

/** Where bpffs is mounted by convention. */
export const DEFAULT_BPFFS = "/sys/fs/bpf";

/** Whether `path` exists and lies on a bpffs. */
export function isBpffs(path: string): boolean {
  try {
    return statfsType(path) === BPF_FS_MAGIC;
  } catch (error) {
    if (error instanceof KernelError && error.errno === ERRNO.ENOENT) return false;
    throw error;
  }
}

/** Throws a KernelError that says how to mount one when `directory` is not on a bpffs. */
export function requireBpffs(directory: string): void {
  if (isBpffs(directory)) return;
  throw new KernelError({
    operation: "pin under",
    target: directory,
    errno: ERRNO.EPERM,
    hint: `no bpffs is mounted there; run: mount -t bpf bpf ${DEFAULT_BPFFS}`,
  });
}

/** Makes `directory` and its parents, which must lie on a bpffs. */
export function makePinDirectory(directory: string): void {
  let parent = directory;
  while (!isPinned(parent)) parent = parent.slice(0, Math.max(parent.lastIndexOf("/"), 1));
  requireBpffs(parent);
  Deno.mkdirSync(directory, { recursive: true, mode: 0o700 });
}

/** Pins `fd` at `path`, which must not exist. */
export function pinFd(fd: number, path: string): void {
  const result = libbpf.bpf_obj_pin(fd, cstring(path));
  if (result >= 0) return;
  const directory = path.slice(0, Math.max(path.lastIndexOf("/"), 1));
  if (isPinned(directory)) requireBpffs(directory);
  throw bpfError(result, "pin at", path, hintFor(result));
}

/** What can be pinned; the kernel calls its descriptors by these names. */
export type PinKind = "map" | "prog" | "link";

const KIND_NAMES = { map: "a map", prog: "a program", link: "a link" } as const;

/** The descriptor of the map, program or link that is pinned at `path`. Throws KernelError EINVAL for another kind. */
export function openPinFd(path: string, kind: PinKind): FileDescriptor {
  return opened(checkBpf(libbpf.bpf_obj_get(cstring(path)), "open pinned", path), path, kind);
}

/** As `openPinFd`, but undefined when nothing is there. */
export function tryOpenPinFd(path: string, kind: PinKind): FileDescriptor | undefined {
  const result = libbpf.bpf_obj_get(cstring(path));
  if (result >= 0) return opened(result, path, kind);
  if (result === -ERRNO.ENOENT) return undefined;
  throw bpfError(result, "open pinned", path);
}

/** Links are called bpf_link before Linux 5.19. */
function opened(number: number, path: string, kind: PinKind): FileDescriptor {
  using stack = new DisposableStack();
  const fd = stack.use(new FileDescriptor(number));
  const [, found] = /^anon_inode:\[?bpf[-_](map|prog|link)\]?$/.exec(describeFd(number)) ?? [];
  if (found !== kind) {
    throw new KernelError({
      operation: `open pinned ${KIND_NAMES[kind].slice(2)}`,
      target: path,
      errno: ERRNO.EINVAL,
      hint: `${KIND_NAMES[found as PinKind] ?? "something else"} is pinned there`,
    });
  }
  stack.move();
  return fd;
}

/** Whether something is at `path`: a pin or a directory of pins. */
export function isPinned(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Removes the name `path`; false when it was not there. What it named lives on while it has other users. */
export function unpin(path: string): boolean {
  try {
    Deno.removeSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

function hintFor(result: number): { hint?: string } {
  if (result === -ERRNO.EEXIST) return { hint: "something else is pinned there; remove it first" };
  if (result === -ERRNO.ENOENT) return { hint: "the directory does not exist; make it first" };
  return {};
}
