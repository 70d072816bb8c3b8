import { assertEquals } from "@std/assert";
import { printable } from "./printable.ts";

for (
  const [text, safe] of [
    ["demo/web-a ü 世", "demo/web-a ü 世"],
    ["\u001b]0;title\u0007", "\\x1b]0;title\\x07"],
    ["\u009b31m", "\\x9b31m"],
    ["a\nb\r\tc\u007f", "a\\nb\\r\\tc\\x7f"],
    ["a\u2028b\u202ec", "a\\u2028b\\u202ec"],
  ] as const
) {
  Deno.test(`printable() of ${JSON.stringify(safe)} has no control characters`, () => {
    assertEquals(printable(text), safe);
  });
}
