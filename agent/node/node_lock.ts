/** One agent a node: two with one bpffs or one state would undo each other's work. */

import { makePinDirectory } from "../../datapath/bpf/mod.ts";
import { FileDescriptor, tryLock } from "../../datapath/ffi/libc.ts";

/** Milliseconds that an agent which is just ending has for it. */
const PATIENCE_MS = 3_000;

/** Holds both directories until disposed of. Throws Error when another agent holds one. */
export async function lockNode(
  { bpffs, stateDir }: { bpffs: string; stateDir: string },
): Promise<Disposable> {
  makePinDirectory(bpffs);
  Deno.mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  const stack = new DisposableStack();
  try {
    for (const directory of [bpffs, stateDir]) {
      await lock(stack.use(FileDescriptor.open(directory)), directory);
    }
    return stack.move();
  } catch (error) {
    stack.dispose();
    throw error;
  }
}

async function lock({ fd }: FileDescriptor, directory: string): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while (!tryLock(fd, directory)) {
    if (performance.now() > deadline) {
      throw new Error(`Cannot use ${directory}: another agent does; stop it first`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
