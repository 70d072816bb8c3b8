/** Numbers of endpoints: one after the other, and again from 1 after the last. */

/** The largest number. */
export const MAX_ID = 65_535;

/** Whether the endpoint of number `a` was made after that of `b`, of two that are there. */
export function isNewer(a: number, b: number): boolean {
  const ahead = (a - b + MAX_ID) % MAX_ID;
  return ahead > 0 && ahead < MAX_ID / 2;
}
