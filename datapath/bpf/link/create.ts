/** Links of the kinds that have no target to be replaced at: probes, tracing, filters of packets. */

import { FileDescriptor } from "../../ffi/libc.ts";
import { bpf } from "../../ffi/syscall.ts";
import { checkBpf } from "../errors.ts";
import type { BpfProgram } from "../program.ts";
import { BpfLink } from "./link.ts";

/** Commands of bpf(2), enum bpf_cmd. */
const BPF_RAW_TRACEPOINT_OPEN = 17, BPF_LINK_CREATE = 28;

/** Bytes of the parts of union bpf_attr that these commands have. */
const ATTR_SIZE = 64;

/** What {@linkcode createLink} makes. */
export interface LinkRequest {
  program: BpfProgram;
  /** A descriptor or the number of a device, as the attach type has it. @default {0} */
  target?: number;
  attachType: number;
  /** Writes what the kind has besides: union bpf_attr, link_create, from byte 16 on. */
  more?: (attr: DataView) => void;
  /** For errors: where to. */
  where: string;
  hint?: (result: number) => string | undefined;
}

/** Makes a link by BPF_LINK_CREATE. Throws KernelError. */
export function createLink({ program, target = 0, attachType, more, where, hint }: LinkRequest) {
  const attr = new DataView(new ArrayBuffer(ATTR_SIZE));
  attr.setUint32(0, program.fd, true);
  attr.setUint32(4, target, true);
  attr.setUint32(8, attachType, true);
  more?.(attr);
  return linkOf(bpf(BPF_LINK_CREATE, new Uint8Array(attr.buffer)), program, where, hint);
}

/** Makes a link by BPF_RAW_TRACEPOINT_OPEN; `name` is the address of a C string. Throws KernelError. */
export function openRawTracepoint(program: BpfProgram, name: bigint, where: string): BpfLink {
  const attr = new DataView(new ArrayBuffer(ATTR_SIZE));
  attr.setBigUint64(0, name, true);
  attr.setUint32(8, program.fd, true);
  return linkOf(bpf(BPF_RAW_TRACEPOINT_OPEN, new Uint8Array(attr.buffer)), program, where);
}

function linkOf(
  result: number,
  program: BpfProgram,
  where: string,
  hint?: LinkRequest["hint"],
): BpfLink {
  checkBpf(result, `attach program ${program.name} to`, where, hint?.(result));
  return new BpfLink(new FileDescriptor(result));
}
