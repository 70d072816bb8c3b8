import { assertEquals, assertRejects } from "@std/assert";
import { derivationFailures } from "./derivation_failures.ts";
import { Runner } from "./runner.ts";

Deno.test("Runner runs once for all requests before it begins, and once more for those during a run", async () => {
  let runs = 0, active = 0;
  const gate = Promise.withResolvers<void>();
  const runner = new Runner("output", async () => {
    assertEquals(++active, 1);
    runs++;
    if (runs === 1) await gate.promise;
    active--;
  });
  const first = [runner.run(), runner.run()];
  await Promise.resolve();
  const second = [runner.run(), runner.run()];
  gate.resolve();
  await Promise.all(first);
  await Promise.all(second);
  assertEquals(runs, 2);
});

Deno.test("Runner rejects for those that asked for a failed run, lists it, and goes on", async () => {
  let broken = true;
  const runner = new Runner("output", () => {
    if (broken) throw new Error("not now");
  });
  await assertRejects(() => runner.run(), Error, "not now");
  runner.request();
  await runner.idle();
  assertEquals(derivationFailures(), [{ table: "output", key: "", reason: "not now" }]);
  broken = false;
  await runner.run();
  assertEquals(derivationFailures(), []);
});

Deno.test("Runner.stop() waits for the run under way and begins no other", async () => {
  const seen: string[] = [];
  const gate = Promise.withResolvers<void>();
  const runner = new Runner("output", async () => {
    seen.push("run");
    await gate.promise;
    seen.push("end");
  });
  void runner.run();
  await Promise.resolve();
  void runner.enqueue(() => void seen.push("other"));
  const stopped = runner.stop();
  gate.resolve();
  await stopped;
  await runner.run();
  assertEquals(seen, ["run", "end"]);
});
