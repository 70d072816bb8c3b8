/** Maps that are tables of functions of the kernel, as those of a congestion control. */

import { ERRNO } from "../kernel_error.ts";
import { AttachType, MapFlag, MapType } from "../constants.ts";
import type { BpfMap } from "../map.ts";
import { createLink } from "./create.ts";
import type { BpfLink } from "./link.ts";

/**
 * Registers the table of a STRUCT_OPS map, section `.struct_ops.link` (Linux 6.4), for as long as the
 * link lives. Throws KernelError, TypeError for another map.
 */
export function attachStructOps(map: BpfMap): BpfLink {
  if (map.type !== MapType.STRUCT_OPS) throw new TypeError(`Map ${map.name} is no STRUCT_OPS`);
  if (!(map.flags & MapFlag.LINK)) {
    throw new TypeError(`Map ${map.name} cannot have a link: put it in section .struct_ops.link`);
  }
  return createLink({
    source: map,
    attachType: AttachType.STRUCT_OPS,
    what: "register",
    where: `map ${map.name}`,
    hint: (result) =>
      result === -ERRNO.EEXIST ? "a table of that name is registered already" : undefined,
  });
}
