/** CNI ADD and the manifest of its Pod: either may come first. */

import type { Pod } from "../../kubernetes/resources.ts";
import type { Table } from "../../core/table.ts";

/** Options for {@linkcode awaitPod}. */
export interface AwaitPodOptions {
  /** Milliseconds. */
  timeout: number;
  /** Ends the wait early. */
  signal?: AbortSignal | undefined;
}

/** Waits until the table has the Pod `key`, for at most the timeout. Resolves to whether it does. */
export async function awaitPod(
  pods: Table<Pod>,
  key: string,
  { timeout, signal }: AwaitPodOptions,
): Promise<boolean> {
  if (pods.has(key) || timeout === 0 || signal?.aborted) return pods.has(key);
  const { promise, resolve } = Promise.withResolvers<void>();
  using _watch = pods.watch(() => {
    if (pods.has(key)) resolve();
  });
  const timer = setTimeout(resolve, timeout);
  signal?.addEventListener("abort", () => resolve(), { once: true });
  await promise;
  clearTimeout(timer);
  return pods.has(key);
}
