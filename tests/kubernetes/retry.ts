/** Waits for what comes sooner or later. */

/** Tries until the work does not throw, or throws what it threw last. */
export async function retry<Result>(
  work: () => Promise<Result> | Result,
  limitMs = 20_000,
): Promise<Result> {
  const end = performance.now() + limitMs;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (performance.now() > end) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
