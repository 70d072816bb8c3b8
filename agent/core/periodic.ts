/** Work on a timer. */

/**
 * Runs `work` every `ms` milliseconds until disposed of, never twice at once. A failure goes to
 * `onError` and the next turn comes.
 */
export function periodically(
  ms: number,
  work: () => unknown,
  onError: (error: unknown) => void,
): Disposable {
  let busy = false;
  const timer = setInterval(async () => {
    if (busy) return;
    busy = true;
    try {
      await work();
    } catch (error) {
      onError(error);
    } finally {
      busy = false;
    }
  }, ms);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
