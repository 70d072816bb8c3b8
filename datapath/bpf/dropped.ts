/** Maps and programs that nobody has any more, and nobody disposed of. */

import type { FileDescriptor } from "./ffi/libc.ts";

const dropped = new FinalizationRegistry<FileDescriptor>((fd) => fd[Symbol.dispose]());

/** Closes the descriptor when `owner` is collected. Not for links: what is attached stays so. */
export function closeWhenDropped(owner: object, fd: FileDescriptor): void {
  dropped.register(owner, fd);
}
