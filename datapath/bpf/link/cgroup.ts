/** Programs on cgroups. */

import { FileDescriptor } from "../ffi/libc.ts";
import { ERRNO } from "../kernel_error.ts";
import type { BpfProgram } from "../program.ts";
import { attachLink } from "./create.ts";
import type { BpfLink } from "./link.ts";

/** Options for {@linkcode attachCgroup}. */
export interface AttachCgroupOptions {
  /** A directory of cgroup v2. */
  cgroup: string;
  /** One of `AttachType`. @default {the program's expected attach type} */
  attachType?: number;
  /** As in AttachTcOptions. */
  pin?: string;
}

/** Puts a program on a cgroup; a pinned link to another one is given up. */
export function attachCgroup(program: BpfProgram, options: AttachCgroupOptions): BpfLink {
  const { cgroup, attachType = program.expectedAttachType, pin } = options;
  if (attachType === undefined) {
    throw new TypeError(`Give the attach type of program ${program.name}: a pin does not tell it`);
  }
  using directory = FileDescriptor.open(cgroup);
  const cgroupId = BigInt(Deno.statSync(cgroup).ino ?? 0);
  return attachLink({
    program,
    target: directory.fd,
    attachType,
    pin,
    sameTarget: (info) => info.programId !== 0 && info.cgroupId === cgroupId,
    what: `attach program ${program.name} to cgroup`,
    where: cgroup,
    hint: (result) =>
      result === -ERRNO.EBADF ? "the directory is not on a cgroup v2 file system" : undefined,
  });
}
