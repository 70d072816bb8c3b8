/** bpf links: what all attach types have in common but clsact and SK_MSG. */

import { libbpf } from "../ffi/libbpf.ts";
import type { FileDescriptor } from "../ffi/libc.ts";
import { ERRNO } from "../kernel_error.ts";
import { AttachType, LinkType } from "../constants.ts";
import { bpfError, checkBpf } from "../errors.ts";
import { linkFdById } from "../ids.ts";
import { objectInfo } from "../info.ts";
import { openPinFd, pinFd, tryOpenPinFd, unpin } from "../pin.ts";
import type { BpfProgram } from "../program.ts";
import type { Attachment, AttachmentInfo } from "./attachment.ts";

/** Of links whose kind has one. */
const ATTACH_TYPES: Readonly<Record<number, number>> = {
  [LinkType.ITER]: AttachType.TRACE_ITER,
  [LinkType.PERF_EVENT]: AttachType.PERF_EVENT,
  [LinkType.KPROBE_MULTI]: AttachType.TRACE_KPROBE_MULTI,
  [LinkType.STRUCT_OPS]: AttachType.STRUCT_OPS,
  [LinkType.NETFILTER]: AttachType.NETFILTER,
  [LinkType.UPROBE_MULTI]: AttachType.TRACE_UPROBE_MULTI,
};

/** A bpf link: an attachment that is a descriptor and can be pinned. */
export class BpfLink implements Attachment {
  /** What it is of the attachments. */
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
    return new BpfLink(openPinFd(path, "link"), path);
  }

  /** As `openPinned`, but undefined when nothing is there. */
  static tryOpenPinned(path: string): BpfLink | undefined {
    const fd = tryOpenPinFd(path, "link");
    return fd && new BpfLink(fd, path);
  }

  /** The link with this number. Throws KernelError ENOENT when there is none. */
  static byId(id: number): BpfLink {
    return new BpfLink(linkFdById(id));
  }

  /** The descriptor, owned by this object. */
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

  /** Puts another program in the place of the one that is attached. Throws KernelError. */
  update(program: BpfProgram): void {
    const result = libbpf.bpf_link_update(this.fd, program.fd, null);
    checkBpf(
      result,
      `put program ${program.name} into link`,
      this.#pin ?? "",
      result === -ERRNO.ENOLINK ? "its device or cgroup is gone; attach anew" : undefined,
    );
  }

  /** Takes the program off and removes the pin. What is detached already stays so. */
  detach(): void {
    if (this.#fd.closed) return;
    const result = libbpf.bpf_link_detach(this.fd);
    // links of some kinds last as long as they are held
    const held = result === -ERRNO.EOPNOTSUPP;
    if (result < 0 && result !== -ERRNO.ENOLINK && !held) throw bpfError(result, "detach link", "");
    if (this.#pin) unpin(this.#pin);
    this[Symbol.dispose]();
  }

  /** What the kernel knows of it now. */
  info(): AttachmentInfo {
    const info = objectInfo(this.fd, this.#pin ?? "link");
    const linkType = info.getUint32(0, true), programId = info.getUint32(8, true);
    const first = info.getUint32(16, true), second = info.getUint32(20, true);
    const rest = { id: info.getUint32(4, true), linkType, programId, ifindex: 0 };
    switch (linkType) {
      case LinkType.CGROUP: {
        const cgroupId = info.getBigUint64(16, true);
        return { ...rest, cgroupId, attachType: info.getUint32(24, true) };
      }
      case LinkType.XDP:
        return { ...rest, ifindex: first, attachType: AttachType.XDP };
      case LinkType.TCX:
      case LinkType.NETKIT:
        return { ...rest, ifindex: first, attachType: second };
      case LinkType.NETNS:
        return { ...rest, attachType: second };
      case LinkType.TRACING:
        return { ...rest, attachType: first };
      default:
        return { ...rest, attachType: ATTACH_TYPES[linkType] ?? 0 };
    }
  }

  /** Closes the descriptor: what is not pinned is taken off. */
  [Symbol.dispose](): void {
    this.#fd[Symbol.dispose]();
  }
}
