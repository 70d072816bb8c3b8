/**
 * What senders of frames of every kind reach, judged by an oracle that knows policies and addresses
 * only. SILENT_POD_SEED repeats a run; scripts/silent_pod.ts makes longer ones.
 */

import { assert, assertEquals } from "@std/assert";
import { breakPolicy, SENDERS } from "./silent_pod/cast.ts";
import { describe } from "./silent_pod/run.ts";
import { silentPod } from "./silent_pod/story.ts";

const FRAMES = 50_000;
const SEED = Number(Deno.env.get("SILENT_POD_SEED") ?? Date.now() % 2 ** 31);

for (const routing of ["vxlan", "native"] as const) {
  Deno.test(`nobody's frames are seen where policy and addresses do not allow it, ${routing}`, async () => {
    console.log(`SILENT_POD_SEED=${SEED}`);
    await silentPod(routing, async (trial, cast) => {
      const { sent, lost, leaks, leaked, allowed } = await trial.run(SEED, FRAMES);
      assertEquals(leaks.map(describe), [], `${leaked} leaks, SILENT_POD_SEED=${SEED}`);
      assertEquals({ sent, lost }, { sent: FRAMES * SENDERS.length, lost: 0 });
      for (const way of ["tied → near", "roamer → far", "outside → web", "stranger → web"]) {
        assert(allowed.get(way), `nothing went ${way}`);
      }
      // what makes the oracle complain, or it would be blind
      await breakPolicy(cast);
      const broken = await trial.run(SEED, 1000, { senders: [SENDERS.indexOf("silent")] });
      assert(broken.leaked > 0, "a pod that may send everything was not noticed");
    });
  });
}
