/** XDP programs on devices. */

import { ERRNO, isErrno } from "../kernel_error.ts";
import { AttachType, XdpFlag } from "../constants.ts";
import { type BpfProgram, requireType } from "../program.ts";
import { attachLink } from "./create.ts";
import type { BpfLink } from "./link.ts";

/** Options for {@linkcode attachXdp}. */
export interface AttachXdpOptions {
  /** In the calling thread's network namespace. */
  ifindex: number;
  /** "native" runs in the driver, "generic" after it. @default {"auto"}: native, else generic */
  mode?: "auto" | "native" | "generic";
  /** As in AttachTcOptions. */
  pin?: string;
}

/** Puts an XDP program on a device. */
export function attachXdp(program: BpfProgram, options: AttachXdpOptions): BpfLink {
  requireType(program, "XDP");
  const { ifindex, mode = "auto", pin } = options;
  const attach = (native: boolean) =>
    attachLink({
      program,
      target: ifindex,
      attachType: AttachType.XDP,
      flags: native ? XdpFlag.DRV_MODE : XdpFlag.SKB_MODE,
      pin,
      sameTarget: (info) => info.ifindex === ifindex,
      what: `attach program ${program.name} by ${native ? "native" : "generic"} XDP to`,
      where: `ifindex ${ifindex}`,
      hint: (result) =>
        result === -ERRNO.EBUSY
          ? "another XDP program is there; take it off first (ip link set dev … xdp off)"
          : result === -ERRNO.EEXIST
          ? "a program of the other mode, native or generic, is there; take it off first"
          : result === -ERRNO.EOPNOTSUPP
          ? "the driver has no native XDP; use generic"
          : undefined,
    });
  if (mode !== "auto") return attach(mode === "native");
  try {
    return attach(true);
  } catch (error) {
    if (isErrno(error, "EOPNOTSUPP", "EINVAL", "ERANGE")) return attach(false);
    throw error;
  }
}
