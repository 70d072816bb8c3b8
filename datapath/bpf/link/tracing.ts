/**
 * Programs whose hook is chosen when they are loaded, by a name in the kernel's types: fentry, fexit,
 * fmod_ret, tp_btf, LSM, and freplace of a function of another program.
 */

import { ERRNO } from "../kernel_error.ts";
import { AttachType } from "../constants.ts";
import { type BpfProgram, requireType } from "../program.ts";
import { createLink } from "./create.ts";
import type { BpfLink } from "./link.ts";

/** Options for {@linkcode attachTracing}. */
export interface AttachTracingOptions {
  /** What bpf_get_attach_cookie() gives the program; fentry, fexit, fmod_ret and LSM. @default {0n} */
  cookie?: bigint;
}

/** Attaches to what the program was loaded for. Throws KernelError. */
export function attachTracing(
  program: BpfProgram,
  { cookie = 0n }: AttachTracingOptions = {},
): BpfLink {
  requireType(program, "TRACING", "LSM", "EXT");
  return createLink({
    source: program,
    attachType: program.expectedAttachType ?? 0,
    more: (attr) => attr.setBigUint64(24, cookie, true),
    where: "the function that it was loaded for",
    hint: (result) =>
      result === -ERRNO.EBUSY
        ? "another program with fmod_ret, LSM or freplace is there"
        : result === -ERRNO.ENOTSUPP || result === -ERRNO.EOPNOTSUPP
        ? "this kernel cannot: it has no trampolines (CONFIG_FUNCTION_TRACER and direct calls)"
        : result === -ERRNO.EINVAL && program.expectedAttachType === AttachType.LSM_MAC
        ? "the kernel has no LSM by BPF (CONFIG_BPF_LSM, and `bpf` in its list of LSMs)"
        : undefined,
  });
}
