/**
 * Holds the reading of manifests against Kubernetes' own decoder and validation, and against Cilium's,
 * on random texts of their kinds, valid and broken. Prints where the verdicts differ, or the values
 * that both read, and exits with 1 then. Needs Go, which fetches their modules the first time.
 */

import { difference, otherValue, verdictOf } from "./manifest_corpus/compare.ts";
import { corpus, SEED, SIZE } from "./manifest_corpus/corpus.ts";
import { ask, type Oracle, ORACLES, oracleVersion } from "./manifest_corpus/oracle.ts";
import { sha256, writeRecorded } from "./manifest_corpus/recorded.ts";
import { countOf, scriptOptions } from "./options.ts";

const USAGE =
  `Usage: deno run -A scripts/manifest_corpus.ts [--seed=N] [--size=N] [--of=NAME] [--record=yes]

  --of=NAME     kubernetes or cilium alone
  --record=yes  writes the verdicts that the tests compare with, of the usual seed and size`;

/** Returns how many verdicts or values differ. */
async function compare(oracle: Oracle, seed: number, size: number, record: boolean) {
  const texts = corpus(oracle.shapes, seed, size);
  const answers = await ask(oracle, texts);
  const verdicts = answers.map(({ faults }) => verdictOf(oracle, faults));
  let differences = 0;
  for (const [i, text] of texts.entries()) {
    const { faults, objects = [] } = answers[i]!;
    const differs = difference(oracle, text, verdicts[i]!) ??
      (oracle.says && verdicts[i] === "a" ? otherValue(text, objects) : undefined);
    if (differs === undefined) continue;
    differences++;
    console.log(`--- text ${i}: ${differs}\n${oracle.name}: ${JSON.stringify(faults)}\n${text}`);
  }
  const counts = Object.entries(Object.groupBy(verdicts, (verdict) => verdict))
    .map(([verdict, all]) => `${all.length} ${verdict}`);
  console.log(
    `${oracle.name}: ${texts.length} texts (${counts.join(", ")}), ${differences} differences`,
  );
  if (record) {
    const version = oracleVersion(oracle);
    writeRecorded(oracle, { version, seed, sha256: await sha256(texts), verdicts });
  }
  return differences;
}

if (import.meta.main) {
  const defaults = { seed: `${SEED}`, size: `${SIZE}`, record: "no", of: "" };
  const given = scriptOptions(USAGE, defaults);
  const record = given.record === "yes";
  const seed = record ? SEED : countOf("seed", given.seed);
  const size = record ? SIZE : countOf("size", given.size);
  const asked = ORACLES.filter(({ name }) => given.of === "" || given.of === name);
  if (asked.length === 0) throw new Error(`--of is one of ${ORACLES.map(({ name }) => name)}`);
  let differences = 0;
  for (const oracle of asked) differences += await compare(oracle, seed, size, record);
  if (differences > 0) Deno.exit(1);
}
