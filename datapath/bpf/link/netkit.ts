/** Programs of netkit devices (Linux 6.7). */

import { ERRNO } from "../kernel_error.ts";
import { AttachType } from "../constants.ts";
import { type BpfProgram, requireType } from "../program.ts";
import { createLink } from "./create.ts";
import type { BpfLink } from "./link.ts";

/** Options for {@linkcode attachNetkit}. */
export interface AttachNetkitOptions {
  /** The primary device, in the calling thread's network namespace. */
  ifindex: number;
  /** Whose packets. @default {"primary"} */
  end?: "primary" | "peer";
}

/** Attaches a tc program (SCHED_CLS) to an end of a netkit pair. Throws KernelError. */
export function attachNetkit(
  program: BpfProgram,
  { ifindex, end = "primary" }: AttachNetkitOptions,
): BpfLink {
  requireType(program, "SCHED_CLS");
  return createLink({
    source: program,
    target: ifindex,
    attachType: end === "primary" ? AttachType.NETKIT_PRIMARY : AttachType.NETKIT_PEER,
    where: `netkit ${end} of ifindex ${ifindex}`,
    hint: (result) =>
      result === -ERRNO.EINVAL
        ? "the device is no netkit, or the kernel has none (Linux 6.7, CONFIG_NETKIT)"
        : result === -ERRNO.ENODEV
        ? "there is no such device in this network namespace"
        : undefined,
  });
}
