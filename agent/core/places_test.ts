import { assertEquals, assertRejects } from "@std/assert";
import { Places } from "./places.ts";

const never = new Promise<never>(() => {});

Deno.test("Places bounds what is done at once, in the order of asking", async () => {
  const places = new Places(2);
  let most = 0, now = 0;
  const order: number[] = [];
  await Promise.all(Array.from({ length: 20 }, async (_, i) => {
    const give = await places.take(never);
    most = Math.max(most, ++now);
    order.push(i);
    await Promise.resolve();
    now--;
    give();
  }));
  assertEquals([most, now], [2, 0]);
  assertEquals(order, [...order.keys()]);
});

Deno.test("Places lets go of who waits no longer, also of one that gets its place at that moment", async () => {
  for (const atOnce of [false, true]) {
    const places = new Places(1);
    const give = await places.take(never);
    const { promise: end, reject } = Promise.withResolvers<never>();
    const waits = places.take(end);
    reject(new Error("late"));
    if (atOnce) give();
    await assertRejects(() => waits, Error, "late");
    if (!atOnce) give();
    (await places.take(never))();
  }
});
