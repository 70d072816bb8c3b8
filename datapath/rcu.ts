/** Short grace periods for calls that wait for one. */

/** Non-zero: every grace period is expedited (kernel: Documentation/admin-guide/kernel-parameters, rcupdate). */
const EXPEDITED = "/sys/kernel/rcu_expedited";

/**
 * Runs `work` with expedited grace periods where that can be had. Attaching to tcx waits for a grace
 * period with the lock of all network configuration held: 10 to 20 ms, against 0.2 ms expedited. A
 * machine that must not be disturbed says so with rcupdate.rcu_normal=1, which wins over this.
 */
export function withExpeditedGracePeriods<T>(work: () => T): T {
  const switched = write("0", "1");
  try {
    return work();
  } finally {
    if (switched) write("1", "0");
  }
}

/** Writes `to` when the value is `from`. Returns whether it did. */
function write(from: string, to: string): boolean {
  try {
    if (Deno.readTextFileSync(EXPEDITED).trim() !== from) return false;
    Deno.writeTextFileSync(EXPEDITED, to, { create: false });
    return true;
  } catch {
    return false; // no such knob, or a read-only /sys
  }
}
