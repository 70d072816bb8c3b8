/** Failed requests of this library as KernelErrors that name the fix where there is one. */

import { geteuid } from "./ffi/libc.ts";
import { ERRNO, KernelError, type KernelErrorOptions } from "./kernel_error.ts";

/** What helps where the caller does not know better; root has what others are told to ask for. */
function hintOf(errno: number): string | undefined {
  return errno === ERRNO.EPERM && geteuid() !== 0
    ? "run as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON"
    : undefined;
}

/** The KernelError for a result of libbpf (negative errno). */
export function bpfError(
  result: number,
  operation: string,
  target: string,
  more: Pick<KernelErrorOptions, "hint" | "log"> = {},
): KernelError {
  const errno = Math.abs(result);
  const hint = more.hint ?? hintOf(errno);
  return new KernelError({ ...more, operation, target, errno, ...(hint ? { hint } : {}) });
}

/** `result` when it is not negative, else throws. */
export function checkBpf(
  result: number,
  operation: string,
  target: string,
  hint?: string,
): number {
  if (result >= 0) return result;
  throw bpfError(result, operation, target, hint ? { hint } : {});
}
