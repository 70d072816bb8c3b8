/**
 * Holds the reading of manifests against Kubernetes' own decoder and validation, on random texts of
 * its kinds, valid and broken. Prints where the verdicts differ, or the values that both read, and
 * exits with 1 then. Needs Go, which fetches Kubernetes' modules the first time.
 */

import { difference, otherValue, verdictOf } from "./manifest_corpus/compare.ts";
import { corpus, SEED, SIZE } from "./manifest_corpus/corpus.ts";
import { kubernetes, kubernetesVersion } from "./manifest_corpus/kubernetes.ts";
import { sha256, writeRecorded } from "./manifest_corpus/recorded.ts";
import { countOf, scriptOptions } from "./options.ts";

const USAGE = `Usage: deno run -A scripts/manifest_corpus.ts [--seed=N] [--size=N] [--record=yes]

  --record=yes  writes the verdicts that the tests compare with, of the usual seed and size`;

if (import.meta.main) {
  const given = scriptOptions(USAGE, { seed: `${SEED}`, size: `${SIZE}`, record: "no" });
  const record = given.record === "yes";
  const seed = record ? SEED : countOf("seed", given.seed);
  const size = record ? SIZE : countOf("size", given.size);
  const texts = corpus(seed, size);
  const answers = await kubernetes(texts);
  const verdicts = answers.map(({ faults }) => verdictOf(faults));
  let differences = 0;
  for (const [i, text] of texts.entries()) {
    const { faults, objects = [] } = answers[i]!;
    const differs = difference(text, verdicts[i]!) ??
      (verdicts[i] === "a" ? otherValue(text, objects) : undefined);
    if (differs === undefined) continue;
    differences++;
    console.log(`--- text ${i}: ${differs}\nKubernetes: ${JSON.stringify(faults)}\n${text}`);
  }
  const counts = Object.entries(Object.groupBy(verdicts, (verdict) => verdict))
    .map(([verdict, all]) => `${all.length} ${verdict}`);
  console.log(`${texts.length} texts (${counts.join(", ")}), ${differences} differences`);
  if (record) {
    writeRecorded({
      kubernetes: kubernetesVersion(),
      seed,
      sha256: await sha256(texts),
      verdicts,
    });
  }
  if (differences > 0) Deno.exit(1);
}
