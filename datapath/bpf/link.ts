/** Programs at their hooks: one `Attachment` for tcx and clsact, XDP and cgroups. */

import { ERRNO, isErrno } from "../kernel_error.ts";
import { FileDescriptor } from "../ffi/libc.ts";
import { libbpf } from "../ffi/libbpf.ts";
import { AttachType, LinkType, XdpFlag } from "./constants.ts";
import { bpfError, checkBpf } from "./errors.ts";
import { features } from "./features.ts";
import { objectInfo } from "./info.ts";
import { openPinFd, pinFd, tryOpenPinFd, unpin } from "./pin.ts";
import type { BpfMap } from "./map.ts";
import type { BpfProgram } from "./program.ts";

/** A program at a hook. Disposing takes it off, unless it is pinned (or a persistent clsact filter). */
export interface Attachment extends Disposable {
  /** How it is held: a bpf link, or a filter of the clsact qdisc. */
  readonly kind: "link" | "clsact";
  /** Puts another program in its place; no packet sees the hook empty. */
  update(program: BpfProgram): void;
  /** Takes the program off the hook and removes the pin. */
  detach(): void;
  info(): AttachmentInfo;
}

export interface AttachmentInfo {
  /** The program's id. */
  programId: number;
  /** The device; 0 for a cgroup, and for a device that is gone. */
  ifindex: number;
  /** One of `LinkType`; 0 for a clsact filter. */
  linkType: number;
  /** One of `AttachType`. */
  attachType: number;
}

/** A bpf link: an attachment that is a descriptor and can be pinned. */
export class BpfLink implements Attachment {
  readonly kind = "link";
  readonly #fd: FileDescriptor;
  #pin: string | undefined;

  /** Takes over the descriptor. */
  constructor(fd: FileDescriptor, pin?: string) {
    this.#fd = fd;
    this.#pin = pin;
  }

  /** The link pinned at `path`. Throws KernelError ENOENT when nothing is there. */
  static openPinned(path: string): BpfLink {
    return new BpfLink(new FileDescriptor(openPinFd(path)), path);
  }

  /** As `openPinned`, but undefined when nothing is there. */
  static tryOpenPinned(path: string): BpfLink | undefined {
    const fd = tryOpenPinFd(path);
    return fd === undefined ? undefined : new BpfLink(new FileDescriptor(fd), path);
  }

  get fd(): number {
    return this.#fd.fd;
  }

  /** Where it is pinned. */
  get pinPath(): string | undefined {
    return this.#pin;
  }

  /** Pins at a path that does not exist yet, so that the link outlives the process. */
  pin(path: string): void {
    pinFd(this.fd, path);
    this.#pin = path;
  }

  update(program: BpfProgram): void {
    const result = libbpf.bpf_link_update(this.fd, program.fd, null);
    checkBpf(
      result,
      `put program ${program.name} into link`,
      this.#pin ?? "",
      result === -ERRNO.ENOLINK ? "its device or cgroup is gone; attach anew" : undefined,
    );
  }

  detach(): void {
    const result = libbpf.bpf_link_detach(this.fd);
    if (result < 0 && result !== -ERRNO.ENOLINK) throw bpfError(result, "detach link", "");
    if (this.#pin) unpin(this.#pin);
    this[Symbol.dispose]();
  }

  info(): AttachmentInfo {
    const info = objectInfo(this.fd, this.#pin ?? "link");
    const linkType = info.getUint32(0, true);
    const cgroup = linkType === LinkType.CGROUP;
    return {
      linkType,
      programId: info.getUint32(8, true),
      ifindex: cgroup ? 0 : info.getUint32(16, true),
      attachType: cgroup
        ? info.getUint32(24, true)
        : linkType === LinkType.XDP
        ? AttachType.XDP
        : info.getUint32(20, true),
    };
  }

  [Symbol.dispose](): void {
    this.#fd[Symbol.dispose]();
  }
}

export type TcDirection = "ingress" | "egress";

export interface AttachTcOptions {
  /** In the calling thread's network namespace. */
  ifindex: number;
  direction: TcDirection;
  /**
   * Where to pin, on a bpffs. When a link is pinned there already and still on the device, its
   * program is replaced instead. A clsact filter needs no pin: giving one makes it stay.
   */
  pin?: string;
  /** @default {"auto"}: tcx where the kernel has it */
  mode?: "auto" | "tcx" | "clsact";
}

/** Puts a tc program (SCHED_CLS) on a device. */
export function attachTc(program: BpfProgram, options: AttachTcOptions): Attachment {
  const { ifindex, direction, pin, mode = "auto" } = options;
  if (mode === "clsact" || (mode === "auto" && !features().tcx)) {
    const filter = new TcFilter(ifindex, direction, pin !== undefined);
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
  const filter = new TcFilter(ifindex, direction, true);
  return filter.exists() ? filter : undefined;
}

export interface AttachXdpOptions {
  ifindex: number;
  /** "native" runs in the driver, "generic" after it. @default {"auto"}: native, else generic */
  mode?: "auto" | "native" | "generic";
  /** As in AttachTcOptions. */
  pin?: string;
}

/** Puts an XDP program on a device. */
export function attachXdp(program: BpfProgram, options: AttachXdpOptions): BpfLink {
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

export interface AttachCgroupOptions {
  /** A directory of cgroup v2. */
  cgroup: string;
  /** One of `AttachType`. @default {the program's expected attach type} */
  attachType?: number;
  /** As in AttachTcOptions. */
  pin?: string;
}

/** Puts a program on a cgroup. */
export function attachCgroup(program: BpfProgram, options: AttachCgroupOptions): BpfLink {
  const { cgroup, attachType = program.expectedAttachType, pin } = options;
  if (attachType === undefined) {
    throw new TypeError(`Give the attach type of program ${program.name}: a pin does not tell it`);
  }
  using directory = FileDescriptor.open(cgroup);
  return attachLink({
    program,
    target: directory.fd,
    attachType,
    pin,
    sameTarget: (info) => info.programId !== 0,
    what: `attach program ${program.name} to cgroup`,
    where: cgroup,
    hint: (result) =>
      result === -ERRNO.EBADF ? "the directory is not on a cgroup v2 file system" : undefined,
  });
}

/** Makes `program` (SK_MSG) judge what the sockets of a SOCKMAP or SOCKHASH send, those to come. */
export function attachVerdict(program: BpfProgram, map: BpfMap): void {
  const result = libbpf.bpf_prog_attach(program.fd, map.fd, AttachType.SK_MSG_VERDICT, 0);
  checkBpf(result, `attach program ${program.name} to map`, map.name);
}

interface LinkPlan {
  program: BpfProgram;
  target: number;
  attachType: number;
  flags?: number;
  pin: string | undefined;
  /** Whether the pinned link is still where this one should be. */
  sameTarget: (info: AttachmentInfo) => boolean;
  what: string;
  where: string;
  hint: (result: number) => string | undefined;
}

function attachLink(plan: LinkPlan): BpfLink {
  const { program, pin } = plan;
  if (pin) {
    const pinned = BpfLink.tryOpenPinned(pin);
    if (pinned) {
      const info = pinned.info();
      if (info.attachType === plan.attachType && plan.sameTarget(info)) {
        try {
          pinned.update(program);
          return pinned;
        } catch (error) {
          if (!isErrno(error, "ENOLINK")) throw error;
        }
      }
      unpin(pin);
      pinned[Symbol.dispose]();
    }
  }
  const options = new DataView(new ArrayBuffer(64)); // struct bpf_link_create_opts
  options.setBigUint64(0, 64n, true);
  options.setUint32(8, plan.flags ?? 0, true);
  const result = libbpf.bpf_link_create(
    program.fd,
    plan.target,
    plan.attachType,
    new Uint8Array(options.buffer),
  );
  checkBpf(result, plan.what, plan.where, plan.hint(result));
  const link = new BpfLink(new FileDescriptor(result));
  try {
    if (pin) link.pin(pin);
    return link;
  } catch (error) {
    link[Symbol.dispose]();
    throw error;
  }
}

/** Fixed, so that a replacement finds its predecessor. */
const HANDLE = 1, PRIORITY = 1;

/** A tc program as the direct-action filter of a clsact qdisc: what kernels before tcx have. */
class TcFilter implements Attachment {
  readonly kind = "clsact";
  readonly #ifindex: number;
  readonly #direction: TcDirection;
  readonly #persistent: boolean;

  constructor(ifindex: number, direction: TcDirection, persistent: boolean) {
    this.#ifindex = ifindex;
    this.#direction = direction;
    this.#persistent = persistent;
  }

  update(program: BpfProgram): void {
    const hook = this.#hook();
    const where = `ifindex ${this.#ifindex}`;
    const created = libbpf.bpf_tc_hook_create(hook);
    if (created < 0 && created !== -ERRNO.EEXIST) {
      throw bpfError(created, "add a clsact qdisc to", where);
    }
    const BPF_TC_F_REPLACE = 1;
    checkBpf(
      libbpf.bpf_tc_attach(hook, filterOptions(program.fd, BPF_TC_F_REPLACE)),
      `attach program ${program.name} by clsact ${this.#direction} to`,
      where,
    );
  }

  exists(): boolean {
    return libbpf.bpf_tc_query(this.#hook(), filterOptions()) >= 0;
  }

  detach(): void {
    const result = libbpf.bpf_tc_detach(this.#hook(), filterOptions());
    const gone = [-ERRNO.ENOENT, -ERRNO.ENODEV, -ERRNO.EINVAL];
    if (result < 0 && !gone.includes(result)) {
      throw bpfError(result, "detach from", `ifindex ${this.#ifindex}`);
    }
  }

  info(): AttachmentInfo {
    const options = filterOptions();
    const result = libbpf.bpf_tc_query(this.#hook(), options);
    checkBpf(result, "query the filter of", `ifindex ${this.#ifindex}`);
    return {
      linkType: 0,
      programId: new DataView(options.buffer).getUint32(16, true),
      ifindex: this.#ifindex,
      attachType: this.#direction === "ingress" ? AttachType.TCX_INGRESS : AttachType.TCX_EGRESS,
    };
  }

  [Symbol.dispose](): void {
    if (!this.#persistent) this.detach();
  }

  #hook(): Uint8Array<ArrayBuffer> {
    const BPF_TC_INGRESS = 1, BPF_TC_EGRESS = 2;
    const hook = new DataView(new ArrayBuffer(24)); // struct bpf_tc_hook
    hook.setBigUint64(0, 24n, true);
    hook.setInt32(8, this.#ifindex, true);
    hook.setUint32(12, this.#direction === "ingress" ? BPF_TC_INGRESS : BPF_TC_EGRESS, true);
    return new Uint8Array(hook.buffer);
  }
}

function filterOptions(programFd = 0, flags = 0): Uint8Array<ArrayBuffer> {
  const options = new DataView(new ArrayBuffer(32)); // struct bpf_tc_opts
  options.setBigUint64(0, 32n, true);
  options.setInt32(8, programFd, true);
  options.setUint32(12, flags, true);
  options.setUint32(20, HANDLE, true);
  options.setUint32(24, PRIORITY, true);
  return new Uint8Array(options.buffer);
}
