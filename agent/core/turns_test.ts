import { assert, assertEquals, assertRejects } from "@std/assert";
import { Turns } from "./turns.ts";

Deno.test("Turns.run() does the work of a key one after the other, after a failure too, and other keys' at once", async () => {
  const turns = new Turns();
  const order: string[] = [];
  const gate = Promise.withResolvers<void>();
  const first = turns.run("a", async () => {
    await gate.promise;
    order.push("a1");
    throw new Error("a1 failed");
  });
  const second = turns.run("a", () => {
    order.push("a2");
    return Promise.resolve(2);
  });
  await turns.run("b", () => {
    order.push("b");
    return Promise.resolve();
  });
  assert(turns.isBusy("a"));
  assert(!turns.isBusy("b"));
  gate.resolve();
  await assertRejects(() => first, Error, "a1 failed");
  assertEquals(await second, 2);
  assertEquals(order, ["b", "a1", "a2"]);
  assert(!turns.isBusy("a"));
});
