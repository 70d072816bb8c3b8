/**
 * Waiting for ring buffers, however many, on one other thread: each call that waits holds a thread, and
 * the runtime has few of them, which reading files needs, too.
 */

import { clearSignal, eventfd, type FileDescriptor, poll, signal } from "./ffi/libc.ts";
import { NativeMemory } from "./ffi/memory.ts";

const POLLIN = 1;
/** sizeof(struct pollfd). */
const POLLFD_SIZE = 8;

interface Wait {
  fd: number;
  /** In the clock of performance.now(). */
  deadline: number;
  ended: boolean;
  resolve: (ready: boolean) => void;
}

const waits = new Set<Wait>();
/** Wakes the thread when the waits have changed; open while it waits. */
let changed: FileDescriptor | undefined;
let memory = new NativeMemory(0);

/** A wait that is under way. */
export interface RingWait {
  /** Whether there is something to read; false when the time is over or it was ended. */
  ready: Promise<boolean>;
  end(): void;
}

/** Waits until the descriptor is readable, at most so many milliseconds. */
export function waitFor(fd: number, timeoutMs: number): RingWait {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const wait = { fd, deadline: performance.now() + timeoutMs, ended: false, resolve };
  waits.add(wait);
  if (changed) signal(changed.fd);
  else void run();
  return {
    ready: promise,
    // settled when the other thread has come back, as what it is called with is in use until then
    end() {
      wait.ended = true;
      if (changed) signal(changed.fd);
    },
  };
}

/** Waits on the other thread for as long as anybody does. */
async function run(): Promise<void> {
  const wakeup = changed = eventfd();
  try {
    while (waits.size > 0) {
      const asked = [...waits];
      const size = (asked.length + 1) * POLLFD_SIZE;
      if (memory.size < size) {
        memory[Symbol.dispose]();
        memory = new NativeMemory(size);
      }
      const { view } = memory;
      [wakeup.fd, ...asked.map(({ fd }) => fd)].forEach((fd, i) => {
        view.setInt32(i * POLLFD_SIZE, fd, true);
        view.setInt32(i * POLLFD_SIZE + 4, POLLIN, true);
      });
      const next = Math.min(...asked.map(({ deadline }) => deadline)) - performance.now();
      await poll(memory.pointer, asked.length + 1, Math.max(0, Math.ceil(Math.min(next, 1e9))));
      if (view.getInt16(6, true) !== 0) clearSignal(wakeup.fd);
      const now = performance.now();
      asked.forEach((wait, i) => {
        const ready = view.getInt16((i + 1) * POLLFD_SIZE + 6, true) !== 0;
        if (!ready && !wait.ended && wait.deadline > now) return;
        waits.delete(wait);
        wait.resolve(ready && !wait.ended);
      });
    }
  } finally {
    changed = undefined;
    wakeup[Symbol.dispose]();
  }
}
