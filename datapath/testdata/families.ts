/** The two families of addresses, and tests that run once with each. */

export const FAMILIES = ["ipv4", "ipv6"] as const;

export type Family = typeof FAMILIES[number];

/** Makes a test of each family. */
export function both(name: string, test: (family: Family) => void): void {
  for (const family of FAMILIES) Deno.test(`${name} (${family})`, () => test(family));
}
