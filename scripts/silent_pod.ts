/**
 * The silent pod: a pod that may send nothing, two that may reach one peer each, a host on the wire
 * and one behind a router send frames of every kind; captures everywhere see them only where policy
 * and addresses allow it.
 *
 * Usage: deno run -A scripts/silent_pod.ts [--frames=N] [--seed=N] [--first=N] [--routing=vxlan|native]
 *        [--senders=silent,tied,…]; N frames of each sender. Exits 1 when something got through.
 */

import { parseArgs } from "@std/cli/parse-args";
import { SENDERS } from "../tests/silent_pod/cast.ts";
import { describe } from "../tests/silent_pod/run.ts";
import { silentPod } from "../tests/silent_pod/story.ts";

const { frames, seed, first, routing, senders } = parseArgs(Deno.args, {
  string: ["frames", "seed", "first", "routing", "senders"],
  default: {
    frames: "1000000",
    seed: String(Date.now() % 2 ** 31),
    first: "0",
    routing: "vxlan,native",
    senders: SENDERS.join(","),
  },
}) as Record<string, string>;

let failed = false;
for (const mode of routing!.split(",") as ("vxlan" | "native")[]) {
  const began = performance.now();
  console.log(`${mode}: ${frames} frames of each of ${senders}, seed ${seed}`);
  await silentPod(mode, async (trial) => {
    const total = Number(frames) * senders!.split(",").length;
    const outcome = await trial.run(Number(seed), Number(frames), {
      first: Number(first),
      senders: senders!.split(",").map((name) => SENDERS.indexOf(name as typeof SENDERS[number])),
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
