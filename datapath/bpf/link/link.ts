/** bpf links: what all attach types have in common but clsact and SK_MSG. */

import { libbpf } from "../../ffi/libbpf.ts";
import { FileDescriptor } from "../../ffi/libc.ts";
import { ERRNO, isErrno } from "../../kernel_error.ts";
import { AttachType, LinkType } from "../constants.ts";
import { bpfError, checkBpf } from "../errors.ts";
import { objectInfo } from "../info.ts";
import { openPinFd, pinFd, tryOpenPinFd, unpin } from "../pin.ts";
import type { BpfProgram } from "../program.ts";
import type { Attachment, AttachmentInfo } from "./attachment.ts";

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
    return new BpfLink(openPinFd(path, "link"), path);
  }

  /** As `openPinned`, but undefined when nothing is there. */
  static tryOpenPinned(path: string): BpfLink | undefined {
    const fd = tryOpenPinFd(path, "link");
    return fd && new BpfLink(fd, path);
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
      ...(cgroup ? { cgroupId: info.getBigUint64(16, true) } : {}),
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

/** What {@linkcode attachLink} makes. */
export interface LinkPlan {
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

/** Makes a link, or puts the program into the one that is pinned. Throws KernelError. */
export function attachLink(plan: LinkPlan): BpfLink {
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
