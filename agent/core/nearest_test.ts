import { assertEquals } from "@std/assert";
import { didYouMean, nearest } from "./nearest.ts";

const KNOWN = ["podSelector", "ingress", "egress", "policyTypes"];

for (
  const [given, word] of [
    ["podSelecter", "podSelector"],
    ["ingres", "ingress"],
    ["INGRESS", "ingress"],
    ["policy", undefined],
    ["xyz", undefined],
    ["", undefined],
  ] as const
) {
  Deno.test(`nearest() of ${JSON.stringify(given)} is ${word}`, () => {
    assertEquals(nearest(given, KNOWN), word);
  });
}

Deno.test("nearest() does not compare a text longer than any word", () => {
  const word = "a".repeat(64);
  assertEquals(nearest(word, [word]), word);
  assertEquals(nearest(`${word}a`, [word]), undefined);
  assertEquals(nearest("a".repeat(3_000_000), [word]), undefined);
});

Deno.test("didYouMean() ends a message, or adds nothing", () => {
  assertEquals(didYouMean("egres", KNOWN), "; did you mean `egress`?");
  assertEquals(didYouMean("frobnicate", KNOWN), "");
});
