/** Maps that are tables of functions of the kernel, as those of a congestion control. */

import { FileDescriptor } from "../../ffi/libc.ts";
import { bpf } from "../../ffi/syscall.ts";
import { ERRNO } from "../../kernel_error.ts";
import { AttachType, MapFlag, MapType } from "../constants.ts";
import { checkBpf } from "../errors.ts";
import type { BpfMap } from "../map.ts";
import { BpfLink } from "./link.ts";

const BPF_LINK_CREATE = 28;

/**
 * Registers the table of a STRUCT_OPS map, section `.struct_ops.link` (Linux 6.4), for as long as the
 * link lives. Throws KernelError, TypeError for another map.
 */
export function attachStructOps(map: BpfMap): BpfLink {
  if (map.type !== MapType.STRUCT_OPS) throw new TypeError(`Map ${map.name} is no STRUCT_OPS`);
  if (!(map.flags & MapFlag.LINK)) {
    throw new TypeError(`Map ${map.name} cannot have a link: put it in section .struct_ops.link`);
  }
  const attr = new DataView(new ArrayBuffer(64));
  attr.setUint32(0, map.fd, true);
  attr.setUint32(8, AttachType.STRUCT_OPS, true);
  const result = bpf(BPF_LINK_CREATE, new Uint8Array(attr.buffer));
  const hint = result === -ERRNO.EEXIST ? "a table of that name is registered already" : undefined;
  return new BpfLink(new FileDescriptor(checkBpf(result, "register", `map ${map.name}`, hint)));
}
