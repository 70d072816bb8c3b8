/** tc programs on devices: by tcx links, or as filters of clsact where the kernel has no tcx. */

import { ERRNO } from "../kernel_error.ts";
import { AttachType } from "../constants.ts";
import { features } from "../features.ts";
import { type BpfProgram, requireType } from "../program.ts";
import type { Attachment } from "./attachment.ts";
import { ClsactFilter, type TcDirection } from "./clsact.ts";
import { attachLink } from "./create.ts";
import { BpfLink } from "./link.ts";

/** Options for {@linkcode attachTc}. */
export interface AttachTcOptions {
  /** In the calling thread's network namespace. */
  ifindex: number;
  /** Packets that the device receives, or sends. */
  direction: TcDirection;
  /**
   * Where to pin, on a bpffs. When a link is pinned there already and still on the device, its
   * program is replaced instead. A clsact filter needs no pin: giving one makes it stay.
   */
  pin?: string;
  /** @default {"auto"}: tcx where the kernel has it */
  /** How it is attached. */
  mode?: "auto" | "tcx" | "clsact";
}

/** Puts a tc program (SCHED_CLS) on a device. */
export function attachTc(program: BpfProgram, options: AttachTcOptions): Attachment {
  requireType(program, "SCHED_CLS", "SCHED_ACT");
  const { ifindex, direction, pin, mode = "auto" } = options;
  if (mode === "clsact" || (mode === "auto" && !features().tcx)) {
    const filter = new ClsactFilter(ifindex, direction, pin !== undefined);
    filter.update(program);
    return filter;
  }
  const type = direction === "ingress" ? AttachType.TCX_INGRESS : AttachType.TCX_EGRESS;
  return attachLink({
    program,
    target: ifindex,
    attachType: type,
    pin,
    sameTarget: (info) => info.ifindex === ifindex,
    what: `attach program ${program.name} by tcx ${direction} to`,
    where: `ifindex ${ifindex}`,
    hint: (result) =>
      result === -ERRNO.EINVAL && !features().tcx
        ? "this kernel does not support tcx (Linux 6.6 does); use clsact"
        : result === -ERRNO.ENODEV
        ? "there is no such device in this network namespace"
        : undefined,
  });
}

/** The attachment that `attachTc` with the same options made earlier, perhaps in another process. */
export function openTc(options: AttachTcOptions): Attachment | undefined {
  const { ifindex, direction, pin, mode = "auto" } = options;
  if (pin && mode !== "clsact") {
    const link = BpfLink.tryOpenPinned(pin);
    if (link) return link;
  }
  if (mode === "tcx") return undefined;
  const filter = new ClsactFilter(ifindex, direction, true);
  return filter.exists() ? filter : undefined;
}
