/** Programs at hooks of netfilter (Linux 6.4). */

import { ERRNO } from "../kernel_error.ts";
import { AttachType } from "../constants.ts";
import { type BpfProgram, requireType } from "../program.ts";
import { createLink } from "./create.ts";
import type { BpfLink } from "./link.ts";

/** enum nf_inet_hooks of include/uapi/linux/netfilter.h. */
export const NetfilterHook = {
  PRE_ROUTING: 0,
  LOCAL_IN: 1,
  FORWARD: 2,
  LOCAL_OUT: 3,
  POST_ROUTING: 4,
} as const;

/** Address families as protocol families: NFPROTO_IPV4, NFPROTO_IPV6. */
const FAMILIES = { ipv4: 2, ipv6: 10 } as const;

/** Options for {@linkcode attachNetfilter}. */
export interface AttachNetfilterOptions {
  /** Whose packets. */
  family: "ipv4" | "ipv6";
  /** One of `NetfilterHook`. */
  hook: number;
  /** Among the others of the hook, the least first; not that of another, nor the first or the last. */
  priority: number;
  /** Packets are whole where the program sees them. @default {false} */
  defragment?: boolean;
}

/** Attaches a NETFILTER program in the calling thread's network namespace. Throws KernelError. */
export function attachNetfilter(program: BpfProgram, options: AttachNetfilterOptions): BpfLink {
  requireType(program, "NETFILTER");
  const { family, hook, priority, defragment = false } = options;
  return createLink({
    source: program,
    attachType: AttachType.NETFILTER,
    more(attr) {
      attr.setUint32(16, FAMILIES[family], true);
      attr.setUint32(20, hook, true);
      attr.setInt32(24, priority, true);
      attr.setUint32(28, defragment ? 1 : 0, true);
    },
    where: `hook ${hook} of netfilter for ${family}`,
    hint: (result) =>
      result === -ERRNO.EBUSY
        ? `something has priority ${priority} there already`
        : result === -ERRNO.EINVAL
        ? "the kernel has no programs there (Linux 6.4, CONFIG_NETFILTER_BPF_LINK)"
        : undefined,
  });
}
