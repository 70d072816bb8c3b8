/** bpf_obj_get_info_by_fd: one buffer for all of the kernel's info structures. */

import { libbpf } from "./ffi/libbpf.ts";
import { fromCstring } from "./ffi/memory.ts";
import { checkBpf } from "./errors.ts";

const SIZE = 256; // larger than each struct bpf_*_info; the kernel fills what it knows
const buffer = new Uint8Array(SIZE);
const view = new DataView(buffer.buffer);
const length = new Uint32Array(1);

/** Fills and returns the shared buffer; valid until the next call. `ask` writes where lists are to go. */
export function objectInfo(fd: number, target: string, ask?: (info: DataView) => void): DataView {
  buffer.fill(0);
  ask?.(view);
  length[0] = SIZE;
  checkBpf(libbpf.bpf_obj_get_info_by_fd(fd, buffer, length), "read info of", target);
  return view;
}

/** The NUL-terminated string of at most 16 bytes (BPF_OBJ_NAME_LEN) at `offset` of the shared buffer. */
export function infoName(offset: number): string {
  return fromCstring(buffer.subarray(offset, offset + 16));
}
