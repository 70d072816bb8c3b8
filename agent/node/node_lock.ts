/**
 * One agent a node: two in one network namespace, or with one bpffs, state or socket, would undo each
 * other's work.
 */

import { makePinDirectory } from "../../datapath/bpf/mod.ts";
import { FileDescriptor, tryLock } from "../../datapath/bpf/ffi/libc.ts";

/** What one agent alone may have. */
export interface NodeLockOptions {
  bpffs: string;
  stateDir: string;
  runDir: string;
  /** @default this process's network namespace */
  netns?: string;
  /**
   * Milliseconds that an agent which is just ending has for it.
   *
   * @default {3000}
   */
  patienceMs?: number;
}

/**
 * Holds all of them until disposed of; the directories are made. Throws Error when another agent holds
 * one.
 */
export async function lockNode(
  { bpffs, stateDir, runDir, netns = "/proc/self/ns/net", patienceMs = 3000 }: NodeLockOptions,
): Promise<Disposable> {
  makePinDirectory(bpffs);
  for (const path of [stateDir, runDir]) Deno.mkdirSync(path, { recursive: true, mode: 0o700 });
  const places = {
    "this network namespace": netns,
    ...Object.fromEntries([bpffs, stateDir, runDir].map((path) => [path, path])),
  };
  const stack = new DisposableStack();
  const deadline = performance.now() + patienceMs;
  try {
    for (const [name, path] of Object.entries(places)) {
      await lock(stack.use(FileDescriptor.open(path)), name, deadline);
    }
    return stack.move();
  } catch (error) {
    stack.dispose();
    throw error;
  }
}

async function lock({ fd }: FileDescriptor, name: string, deadline: number): Promise<void> {
  while (!tryLock(fd, name)) {
    if (performance.now() > deadline) {
      throw new Error(`Cannot use ${name}: another agent does; stop it first`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
