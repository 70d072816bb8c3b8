/** Maps that are tables of functions of the kernel, as those of a congestion control. */

import { libbpf } from "../ffi/libbpf.ts";
import { describeFd, dupFd, errno } from "../ffi/libc.ts";
import { ERRNO } from "../kernel_error.ts";
import { AttachType, MapFlag, MapType } from "../constants.ts";
import { bpfError } from "../errors.ts";
import { BpfLink } from "./link.ts";
import { createLink } from "./create.ts";

/** Has a table be registered by a link, which libbpf 1.1 has no section for. */
export function wantLink(map: Deno.PointerObject): void {
  if (libbpf.bpf_map__type(map) !== MapType.STRUCT_OPS || !kernelHasLinks()) return;
  libbpf.bpf_map__set_map_flags(map, libbpf.bpf_map__map_flags(map) | MapFlag.LINK);
}

/** Linux 6.4 and later. */
function kernelHasLinks(): boolean {
  const [major = 0, minor = 0] = Deno.osRelease().split(".").map(Number);
  return major > 6 || major === 6 && minor >= 4;
}

/** Registers the table of a loaded object. Throws KernelError, TypeError for another map. */
export function registerTable(map: Deno.PointerObject, name: string): BpfLink {
  if (libbpf.bpf_map__type(map) !== MapType.STRUCT_OPS) {
    throw new TypeError(`Map ${name} is no STRUCT_OPS`);
  }
  const where = `table ${name}`;
  if (!kernelHasLinks()) {
    throw bpfError(ERRNO.EOPNOTSUPP, "register", where, {
      hint: "links of tables are of Linux 6.4",
    });
  }
  const link = libbpf.bpf_map__attach_struct_ops(map); // writes the table; a later libbpf makes the link, too
  const hint = (code: number) =>
    Math.abs(code) === ERRNO.EEXIST
      ? "a table of that name is registered already"
      : Math.abs(code) === ERRNO.EINVAL
      ? "the kernel refuses the table: a function or the name is missing"
      : undefined;
  if (link === null) {
    const code = errno(), why = hint(code);
    throw bpfError(code, "register", where, why ? { hint: why } : {});
  }
  try {
    const fd = libbpf.bpf_link__fd(link);
    if (/bpf[-_]link/.test(describeFd(fd))) return new BpfLink(dupFd(fd));
    libbpf.bpf_link__disconnect(link);
    const source = { fd: libbpf.bpf_map__fd(map), name };
    return createLink({ source, attachType: AttachType.STRUCT_OPS, what: "register", where, hint });
  } finally {
    libbpf.bpf_link__destroy(link);
  }
}
