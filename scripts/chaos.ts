/**
 * Chaos: whatever can happen to nodes behind their agents' backs, at random, one fault or several at
 * once, under long connections of pods that may talk and probes of pods that may not. No byte of a
 * denied pod arrives except in windows that status reported, at most 2 s after the kernel's notice;
 * all is as desired 10 s after the last fault; no connection ends that no fault had to cut.
 *
 * Usage: deno run -A scripts/chaos.ts [--minutes=60] [--seed=N] [--only=KIND]…; exits 1 when something is wrong.
 * Needs dist/pilus.
 */

import { chaos } from "./chaos/chaos.ts";
import { countOf, scriptOptions } from "./options.ts";

const options = scriptOptions(
  "Usage: deno run -A scripts/chaos.ts [--minutes=60] [--seed=N] [--only=KIND]…",
  { minutes: "60", seed: String(crypto.getRandomValues(new Uint32Array(1))[0]) },
  ["only"],
);
const minutes = countOf("minutes", options.minutes);
const seed = countOf("seed", options.seed);
const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  Deno.addSignalListener(signal, () => stop.abort());
}
console.log(`${minutes} minutes of chaos with --seed=${seed}`);
const ok = await chaos({ seed, minutes, only: options.only, signal: stop.signal });
Deno.exit(ok ? 0 : 1);
