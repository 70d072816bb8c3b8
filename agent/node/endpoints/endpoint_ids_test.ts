import { assertEquals } from "@std/assert";
import { isNewer, MAX_ID } from "./endpoint_ids.ts";

Deno.test("isNewer() follows the numbers over their end", () => {
  assertEquals([isNewer(2, 1), isNewer(1, 2), isNewer(3, 3)], [true, false, false]);
  assertEquals([isNewer(1, MAX_ID), isNewer(MAX_ID, 1)], [true, false]);
});
