/** Programs that walk over things of the kernel, and write about each what somebody reads. */

import { FileDescriptor, read } from "../ffi/libc.ts";
import { NativeMemory } from "../ffi/memory.ts";
import { bpf } from "../ffi/syscall.ts";
import { AttachType } from "../constants.ts";
import { checkBpf } from "../errors.ts";
import type { BpfMap } from "../map.ts";
import { type BpfProgram, requireType } from "../program.ts";
import { createLink } from "./create.ts";
import type { BpfLink } from "./link.ts";

/** BPF_ITER_CREATE of enum bpf_cmd. */
const BPF_ITER_CREATE = 33;
/** Bytes of union bpf_iter_link_info that are used: the descriptor of a map. */
const INFO_SIZE = 16;
const CHUNK = 1 << 16;

/** Options for {@linkcode attachIter}. */
export interface AttachIterOptions {
  /** Whose elements `iter/bpf_map_elem` and `iter/bpf_sk_storage_map` walk over. */
  map?: BpfMap;
}

/** Attaches a TRACING program, section `iter/…`. Each `readIter` of the link is a walk. Throws KernelError. */
export function attachIter(program: BpfProgram, { map }: AttachIterOptions = {}): BpfLink {
  requireType(program, "TRACING");
  using info = new NativeMemory(INFO_SIZE);
  if (map) info.view.setUint32(0, map.fd, true);
  return createLink({
    source: program,
    attachType: AttachType.TRACE_ITER,
    more(attr) {
      if (!map) return;
      attr.setBigUint64(16, info.address, true);
      attr.setUint32(24, INFO_SIZE, true);
    },
    where: map ? `an iterator over map ${map.name}` : "an iterator",
  });
}

/** One walk: all that the program writes, in pieces. Throws KernelError. */
export function* readIter(link: BpfLink): Generator<Uint8Array<ArrayBuffer>> {
  const attr = new Uint8Array(8);
  new DataView(attr.buffer).setUint32(0, link.fd, true);
  using walk = new FileDescriptor(checkBpf(bpf(BPF_ITER_CREATE, attr), "begin", "an iterator"));
  const bytes = new Uint8Array(CHUNK);
  for (;;) {
    const length = read(walk.fd, bytes, "an iterator");
    if (length === 0) return;
    yield bytes.slice(0, length);
  }
}

/** One walk as text. Throws KernelError. */
export function readIterText(link: BpfLink): string {
  const decoder = new TextDecoder();
  let text = "";
  for (const piece of readIter(link)) text += decoder.decode(piece, { stream: true });
  return text + decoder.decode();
}
