/** Programs of a network namespace: SK_LOOKUP and FLOW_DISSECTOR. */

import { FileDescriptor } from "../ffi/libc.ts";
import { ERRNO } from "../kernel_error.ts";
import { AttachType, ProgramType } from "../constants.ts";
import { type BpfProgram, requireType } from "../program.ts";
import { createLink } from "./create.ts";
import type { BpfLink } from "./link.ts";

/** Options for {@linkcode attachNetns}. */
export interface AttachNetnsOptions {
  /** A file of the namespace. @default {"/proc/self/ns/net"} */
  netns?: string;
}

/** Attaches to a network namespace. Throws KernelError. */
export function attachNetns(
  program: BpfProgram,
  { netns = "/proc/self/ns/net" }: AttachNetnsOptions = {},
): BpfLink {
  requireType(program, "SK_LOOKUP", "FLOW_DISSECTOR");
  using namespace = FileDescriptor.open(netns);
  return createLink({
    source: program,
    target: namespace.fd,
    attachType: program.type === ProgramType.SK_LOOKUP
      ? AttachType.SK_LOOKUP
      : AttachType.FLOW_DISSECTOR,
    where: `network namespace ${netns}`,
    hint: (result) =>
      result === -ERRNO.EEXIST ? "another flow dissector is there, or in the first one" : undefined,
  });
}
