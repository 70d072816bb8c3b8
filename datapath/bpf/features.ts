/** What this kernel can do, found out by trying. */

import { ERRNO, KernelError } from "./kernel_error.ts";
import { FileDescriptor } from "./ffi/libc.ts";
import { cstring } from "./ffi/memory.ts";
import { libbpf } from "./ffi/libbpf.ts";
import { AttachType, MapType, ProgramType } from "./constants.ts";
import { checkBpf } from "./errors.ts";

/** Where the kernel's own types are. */
const KERNEL_BTF = "/sys/kernel/btf/vmlinux";

/** What this library asks about. */
export interface Features {
  /** tc programs as bpf links (Linux 6.6); without, clsact filters do. */
  tcx: boolean;
  /** Map batch calls on hashes (5.6). */
  batch: boolean;
  /** bpf_set_retval in cgroup programs (5.18): connect() can fail with an errno of choice. */
  setRetval: boolean;
  /** bpf_skb_set_tstamp in tc programs (5.18): packets can be given the time of their departure. */
  skbTimestamp: boolean;
}

/** Of enum bpf_func_id of include/uapi/linux/bpf.h. */
const BPF_FUNC_SET_RETVAL = 187, BPF_FUNC_SKB_SET_TSTAMP = 192;

let found: Features | undefined;

/** Probes once per process. Throws KernelError EPERM when not root. */
export function features(): Features {
  return found ??= {
    tcx: probeTcx(),
    batch: probeBatch(),
    setRetval: hasHelper(ProgramType.CGROUP_SOCK_ADDR, BPF_FUNC_SET_RETVAL),
    skbTimestamp: hasHelper(ProgramType.SCHED_CLS, BPF_FUNC_SKB_SET_TSTAMP),
  };
}

function hasHelper(programType: number, helper: number): boolean {
  return libbpf.libbpf_probe_bpf_helper(programType, helper, null) === 1;
}

/** The advice when the kernel has no BTF of its own; undefined when it has. */
export function kernelBtfMissing(path = KERNEL_BTF): string | undefined {
  try {
    Deno.statSync(path);
    return undefined;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    return "the kernel has no BTF; boot one built with CONFIG_DEBUG_INFO_BTF=y";
  }
}

/** Throws KernelError ENOENT with the fix when the kernel has no BTF. */
export function requireKernelBtf(path = KERNEL_BTF): void {
  const hint = kernelBtfMissing(path);
  if (hint) throw new KernelError({ operation: "read", target: path, errno: ERRNO.ENOENT, hint });
}

/** A tc program that lets everything pass: r0 = -1 (TCX_NEXT, TC_ACT_UNSPEC); exit. */
function loadPass(): FileDescriptor {
  const code = new Uint8Array(16);
  const view = new DataView(code.buffer);
  view.setUint8(0, 0xb7); // BPF_ALU64 | BPF_MOV | BPF_K
  view.setInt32(4, -1, true);
  view.setUint8(8, 0x95); // BPF_JMP | BPF_EXIT
  const fd = libbpf.bpf_prog_load(
    ProgramType.SCHED_CLS,
    cstring("probe"),
    cstring("GPL"),
    code,
    2n,
    null,
  );
  return new FileDescriptor(checkBpf(fd, "load", "a probe program"));
}

function probeTcx(): boolean {
  using program = loadPass();
  const NOWHERE = 0x7fff_ffff; // no such device: ENODEV where tcx is known, EINVAL where it is not
  const result = libbpf.bpf_link_create(program.fd, NOWHERE, AttachType.TCX_INGRESS, null);
  return result === -ERRNO.ENODEV;
}

function probeBatch(): boolean {
  const fd = libbpf.bpf_map_create(MapType.HASH, cstring("probe"), 4, 4, 1, null);
  using map = new FileDescriptor(checkBpf(fd, "create", "a probe map"));
  const count = new Uint32Array([1]);
  const buffer = () => new Uint8Array(8);
  const result = libbpf.bpf_map_lookup_batch(
    map.fd,
    null,
    buffer(),
    buffer(),
    buffer(),
    count,
    null,
  );
  return result >= 0 || result === -ERRNO.ENOENT;
}
