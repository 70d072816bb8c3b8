/**
 * The silent pod: a pod that may send nothing, two that may reach one peer each, a host on the wire
 * and one behind a router send frames of every kind; captures everywhere see them only where policy
 * and addresses allow it.
 *
 * Usage: deno run -A scripts/silent_pod.ts [--frames=N] [--seed=N] [--first=N] [--routing=vxlan|native]
 *        [--senders=silent,tied,…]; N frames of each sender. Exits 1 when something got through.
 */

import { SENDERS } from "../tests/silent_pod/cast.ts";
import { describe } from "../tests/silent_pod/run.ts";
import { silentPod } from "../tests/silent_pod/story.ts";
import { countOf, scriptOptions } from "./options.ts";

const MODES = ["vxlan", "native"] as const;

const options = scriptOptions(
  "Usage: deno run -A scripts/silent_pod.ts [--frames=1000000] [--seed=N] [--first=0] " +
    `[--routing=${MODES.join(",")}] [--senders=${SENDERS.join(",")}]`,
  {
    frames: "1000000",
    seed: String(Date.now() % 2 ** 31),
    first: "0",
    routing: MODES.join(","),
    senders: SENDERS.join(","),
  },
);
const frames = countOf("frames", options.frames), first = countOf("first", options.first);
const seed = countOf("seed", options.seed);
const senders = choose("senders", SENDERS), modes = choose("routing", MODES);

function choose<T extends string>(name: "senders" | "routing", all: readonly T[]): T[] {
  return options[name].split(",").map((text) => {
    const known = all.find((candidate) => candidate === text);
    if (known) return known;
    console.error(`--${name} has ${all.join(", ")}, not ${JSON.stringify(text)}`);
    return Deno.exit(2);
  });
}

let failed = false;
for (const mode of modes) {
  const began = performance.now();
  console.log(`${mode}: ${frames} frames of each of ${senders.join(", ")}, seed ${seed}`);
  await silentPod(mode, async (trial) => {
    const total = frames * senders.length;
    const outcome = await trial.run(seed, frames, {
      first,
      senders: senders.map((name) => SENDERS.indexOf(name)),
      progress: (sent) => {
        if (sent % 100_000 === 0) console.log(`  ${sent} of ${total}`);
      },
    });
    for (const leak of outcome.leaks) console.log(describe(leak));
    for (const [way, count] of [...outcome.allowed].sort()) console.log(`  ${way}: ${count}`);
    const seconds = Math.round((performance.now() - began) / 1000);
    console.log(
      `${mode}: ${outcome.sent} frames, ${outcome.quiet} sightings on their way, ` +
        `${outcome.lost} captures lost, ${outcome.leaked} leaks, ${seconds} s`,
    );
    if (outcome.leaked || outcome.lost) failed = true;
  });
}
if (failed) Deno.exit(1);
