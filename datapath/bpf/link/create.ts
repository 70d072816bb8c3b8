/** Links as the kernel makes them, and those that a pin keeps over restarts and upgrades. */

import { FileDescriptor } from "../ffi/libc.ts";
import { bpf } from "../ffi/syscall.ts";
import { isErrno } from "../kernel_error.ts";
import { checkBpf } from "../errors.ts";
import { unpin } from "../pin.ts";
import type { BpfProgram } from "../program.ts";
import type { AttachmentInfo } from "./attachment.ts";
import { BpfLink } from "./link.ts";

/** Commands of bpf(2), enum bpf_cmd. */
const BPF_RAW_TRACEPOINT_OPEN = 17, BPF_LINK_CREATE = 28;

/** Bytes of the parts of union bpf_attr that these commands have. */
const ATTR_SIZE = 64;

/** What {@linkcode createLink} makes. */
export interface LinkRequest {
  /** A program; a map of STRUCT_OPS. */
  source: { readonly fd: number; readonly name: string };
  /** A descriptor or the number of a device, as the attach type has it. @default {0} */
  target?: number;
  attachType: number;
  /** @default {0} */
  flags?: number;
  /** Writes what the kind has besides: union bpf_attr, link_create, from byte 16 on. */
  more?: (attr: DataView) => void;
  /** For errors: what is done. @default {"attach program NAME to"} */
  what?: string;
  /** For errors: where to. */
  where: string;
  hint?: (result: number) => string | undefined;
}

/** Makes a link by BPF_LINK_CREATE. Throws KernelError. */
export function createLink(request: LinkRequest): BpfLink {
  const { source, target = 0, attachType, flags = 0, more } = request;
  const attr = new DataView(new ArrayBuffer(ATTR_SIZE));
  attr.setUint32(0, source.fd, true);
  attr.setUint32(4, target, true);
  attr.setUint32(8, attachType, true);
  attr.setUint32(12, flags, true);
  more?.(attr);
  return linkBy(BPF_LINK_CREATE, attr, request);
}

/** Makes a link by BPF_RAW_TRACEPOINT_OPEN; `name` is the address of a C string. Throws KernelError. */
export function openRawTracepoint(program: BpfProgram, name: bigint, where: string): BpfLink {
  const attr = new DataView(new ArrayBuffer(ATTR_SIZE));
  attr.setBigUint64(0, name, true);
  attr.setUint32(8, program.fd, true);
  return linkBy(BPF_RAW_TRACEPOINT_OPEN, attr, { source: program, where });
}

function linkBy(
  command: number,
  attr: DataView<ArrayBuffer>,
  { source, what, where, hint }: Pick<LinkRequest, "source" | "what" | "where" | "hint">,
): BpfLink {
  const result = bpf(command, new Uint8Array(attr.buffer));
  checkBpf(result, what ?? `attach program ${source.name} to`, where, hint?.(result));
  return new BpfLink(new FileDescriptor(result));
}

/** What {@linkcode attachLink} makes. */
export interface LinkPlan extends Omit<LinkRequest, "source"> {
  program: BpfProgram;
  pin: string | undefined;
  /** Whether the pinned link is still where this one should be. */
  sameTarget: (info: AttachmentInfo) => boolean;
}

/** Makes a link, or puts the program into the one that is pinned. Throws KernelError. */
export function attachLink({ program, pin, sameTarget, ...request }: LinkPlan): BpfLink {
  if (pin) {
    const pinned = BpfLink.tryOpenPinned(pin);
    if (pinned) {
      const info = pinned.info();
      if (info.attachType === request.attachType && sameTarget(info)) {
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
  const link = createLink({ source: program, ...request });
  try {
    if (pin) link.pin(pin);
    return link;
  } catch (error) {
    link[Symbol.dispose]();
    throw error;
  }
}
