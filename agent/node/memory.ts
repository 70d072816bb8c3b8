/** Memory that is not needed any more goes back to the system. */

import { returnLargeMemory, trimMemory } from "../../datapath/bpf/ffi/libc.ts";

/** V8's own collector, there with `--expose-gc`. */
const collect = (globalThis as { gc?: (options: Record<string, string>) => void }).gc;

const LOOK_INTERVAL_MS = 5_000;

/** A collection stops the agent for a moment: there is at most one in this time. */
const COLLECT_INTERVAL_MS = 30_000;

/** So much more than what was alive after the last collection is worth one. */
const SLACK_BYTES = 10 * 2 ** 20;

/**
 * Keeps little of what was freed, and collects after bursts of work, until disposed of. V8 alone collects when it needs room, and an agent
 * that has read ten thousand services and now waits for changes never does.
 */
export function keepMemorySmall(): Disposable {
  returnLargeMemory();
  let alive = 0, last = -Infinity, before = 0, swept = true;
  const look = () => {
    // buffers that the collector found are freed by another thread, somewhat later
    if (!swept) trimMemory();
    swept = true;
    const { heapTotal } = Deno.memoryUsage();
    const quiet = Math.abs(heapTotal - before) < SLACK_BYTES / 2;
    before = heapTotal;
    if (!quiet || heapTotal < alive + SLACK_BYTES) return;
    if (performance.now() - last < COLLECT_INTERVAL_MS) return;
    last = performance.now();
    // of V8's kinds the one that also moves what is left together
    collect?.({ type: "major", execution: "sync", flavor: "last-resort" });
    swept = false;
    alive = before = Deno.memoryUsage().heapTotal;
  };
  const timer = setInterval(look, LOOK_INTERVAL_MS);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
