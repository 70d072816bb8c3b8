/** What the kernel has loaded, by its numbers, whoever loaded it. */

import { FileDescriptor } from "./ffi/libc.ts";
import { NativeMemory } from "./ffi/memory.ts";
import { bpf } from "./ffi/syscall.ts";
import { ERRNO } from "./kernel_error.ts";
import { checkBpf } from "./errors.ts";

/** Commands of bpf(2), enum bpf_cmd. */
const NEXT_ID: Readonly<Record<IdKind, number>> = { program: 11, map: 12, btf: 23, link: 31 };
const BPF_PROG_QUERY = 16;
const BPF_LINK_GET_FD_BY_ID = 30, BPF_ENABLE_STATS = 32;

/** The most programs that a hook has: of tcx and cgroups, BPF_MPROG_MAX and BPF_CGROUP_MAX_PROGS. */
const MOST_PROGRAMS = 64;

/** What has numbers. */
export type IdKind = "program" | "map" | "btf" | "link";

/** The numbers of all programs, maps, links or BTF of the kernel, in their order. Throws KernelError. */
export function* kernelIds(kind: IdKind): Generator<number> {
  const attr = new DataView(new ArrayBuffer(12));
  for (;;) {
    const result = bpf(NEXT_ID[kind], new Uint8Array(attr.buffer));
    if (result === -ERRNO.ENOENT) return;
    checkBpf(result, "list", `${kind}s`);
    const id = attr.getUint32(4, true);
    yield id;
    attr.setUint32(0, id, true);
  }
}

/** The descriptor of a link by its number. Throws KernelError ENOENT when there is none. */
export function linkFdById(id: number): FileDescriptor {
  const attr = new DataView(new ArrayBuffer(12));
  attr.setUint32(0, id, true);
  const result = bpf(BPF_LINK_GET_FD_BY_ID, new Uint8Array(attr.buffer));
  return new FileDescriptor(checkBpf(result, "open", `link ${id}`));
}

/** Makes the kernel count calls and time of all programs until it is disposed of. Throws KernelError. */
export function enableStatistics(): Disposable {
  return new FileDescriptor(
    checkBpf(bpf(BPF_ENABLE_STATS, new Uint8Array(8)), "enable", "statistics of programs"),
  );
}

/**
 * The programs at a hook, in the order in which they run: of a device, by its ifindex, in the calling
 * thread's network namespace, or of a cgroup, by a descriptor. None where the kernel cannot say. Throws
 * KernelError.
 */
export function programsAt(target: number, attachType: number): number[] {
  using ids = new NativeMemory(4 * MOST_PROGRAMS);
  const attr = new DataView(new ArrayBuffer(64));
  attr.setUint32(0, target, true);
  attr.setUint32(4, attachType, true);
  attr.setBigUint64(16, ids.address, true);
  attr.setUint32(24, MOST_PROGRAMS, true);
  const result = bpf(BPF_PROG_QUERY, new Uint8Array(attr.buffer));
  // no tcx, or nothing was ever there
  if (result === -ERRNO.EINVAL || result === -ERRNO.ENOENT) return [];
  checkBpf(result, "list the programs at", `hook ${attachType} of ${target}`);
  const count = Math.min(attr.getUint32(24, true), MOST_PROGRAMS);
  return Array.from({ length: count }, (_, i) => ids.view.getUint32(4 * i, true));
}
