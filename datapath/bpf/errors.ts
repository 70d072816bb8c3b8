/** Failed requests of this library as KernelErrors that name the fix where there is one. */

import { ERRNO, KernelError, type KernelErrorOptions } from "../kernel_error.ts";

const HINTS: Record<number, string> = {
  [ERRNO.EPERM]: "run as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON",
};

/** The KernelError for a result of libbpf (negative errno). */
export function bpfError(
  result: number,
  operation: string,
  target: string,
  more: Pick<KernelErrorOptions, "hint" | "log"> = {},
): KernelError {
  const errno = Math.abs(result);
  const hint = more.hint ?? HINTS[errno];
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
