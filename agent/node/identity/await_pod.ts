/** CNI ADD and the manifest of its Pod: either may come first. */

import type { Pod } from "../../kubernetes/resources.ts";
import type { Table } from "../../core/table.ts";

/** Options for {@linkcode awaitPod}. */
export interface AwaitPodOptions {
  /** The Pod's, where the runtime says it: another one of its name may still be there, or again. */
  uid?: string;
  /** Milliseconds. */
  timeout: number;
  /** Ends the wait early. */
  signal?: AbortSignal | undefined;
}

/** What the table has of that name at the end: the Pod, none, or another one. */
export type FoundPod = "found" | "missing" | "other";

/** Waits until the table has the Pod `key`, for at most the timeout. */
export async function awaitPod(
  pods: Table<Pod>,
  key: string,
  { uid = "", timeout, signal }: AwaitPodOptions,
): Promise<FoundPod> {
  const look = (): FoundPod => {
    const pod = pods.get(key);
    if (!pod) return "missing";
    // a Pod that people write has none
    return pod.metadata.uid && uid && pod.metadata.uid !== uid ? "other" : "found";
  };
  if (look() === "found" || timeout === 0 || signal?.aborted) return look();
  const { promise, resolve } = Promise.withResolvers<void>();
  using _watch = pods.watch(() => {
    if (look() === "found") resolve();
  });
  const timer = setTimeout(resolve, timeout);
  signal?.addEventListener("abort", () => resolve(), { once: true });
  await promise;
  clearTimeout(timer);
  return look();
}
