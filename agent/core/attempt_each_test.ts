import { assertEquals, assertInstanceOf } from "@std/assert";
import { attemptEach } from "./attempt_each.ts";

Deno.test("attemptEach() does the rows after one that fails and names each failure with its row", () => {
  const done: number[] = [];
  const failed = attemptEach([1, 2, 3, 4], (row) => {
    if (row === 2) throw new RangeError("two");
    if (row === 3) throw "three";
    done.push(row);
  });
  assertEquals(done, [1, 4]);
  assertEquals(failed.map(({ row, error }) => [row, error.message]), [[2, "two"], [3, "three"]]);
  assertInstanceOf(failed[0]!.error, RangeError);
});
