import { assertEquals } from "@std/assert";
import { difference, type Verdict, verdictOf } from "./compare.ts";
import { corpus, SEED } from "./corpus.ts";
import { KUBERNETES, ORACLES, oracleVersion } from "./oracle.ts";
import { readRecorded, sha256 } from "./recorded.ts";

for (const oracle of ORACLES) {
  Deno.test(`parseManifest() decides on 5,000 random texts as ${oracle.name} does`, async () => {
    const recorded = readRecorded(oracle);
    const texts = corpus(oracle.shapes);
    const again =
      "; record the verdicts again: deno run -A scripts/manifest_corpus.ts --record=yes";
    assertEquals(recorded.version, oracleVersion(oracle), `other version${again}`);
    assertEquals(
      [recorded.seed, recorded.sha256],
      [SEED, await sha256(texts)],
      `other texts${again}`,
    );
    const counts: Partial<Record<Verdict, number>> = {};
    const differences: string[] = [];
    for (const [i, text] of texts.entries()) {
      const verdict = recorded.verdicts[i]!;
      counts[verdict] = (counts[verdict] ?? 0) + 1;
      const differs = difference(oracle, text, verdict);
      if (differs) differences.push(`text ${i}: ${differs}\n${text}`);
    }
    assertEquals(differences, []);
    // texts that are all broken, or all right, would say little
    assertEquals(Object.values(counts).reduce((sum, count) => sum + count), 5000);
    assertEquals(counts.a! > 1000 && counts.r! > 1000, true, JSON.stringify(counts));
  });
}

Deno.test("verdictOf() is by the faults that pilus is to find, too", () => {
  const image = { field: "spec.containers[0].image", type: "FieldValueRequired", detail: "" };
  const name = { field: "metadata.name", type: "FieldValueRequired", detail: "" };
  const type = {
    type: "Decode",
    detail: "Go struct field Container.spec.containers.image of type",
  };
  assertEquals(
    [[], [image], [image, name], [type]].map((faults) => verdictOf(KUBERNETES, faults)),
    ["a", "-", "r", "?"],
  );
});
