/** SOCKET_FILTER programs on sockets of this process. */

import { setsockopt } from "../ffi/libc.ts";
import { type BpfProgram, requireType } from "../program.ts";

/** include/uapi/asm-generic/socket.h. */
const SOL_SOCKET = 1, SO_DETACH_FILTER = 27, SO_ATTACH_BPF = 50;

/** Makes `program` choose what the socket of this descriptor receives, in place of another. Throws KernelError. */
export function attachSocketFilter(program: BpfProgram, socket: number): void {
  requireType(program, "SOCKET_FILTER");
  setsockopt(socket, SOL_SOCKET, SO_ATTACH_BPF, bytesOf(program.fd));
}

/** Takes the filter off a socket. Throws KernelError ENOENT when it has none. */
export function detachSocketFilter(socket: number): void {
  setsockopt(socket, SOL_SOCKET, SO_DETACH_FILTER, bytesOf(0));
}

function bytesOf(value: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new Int32Array([value]).buffer);
}
