import { assertRejects } from "@std/assert";
import { EndpointError } from "../../api/endpoint.ts";
import { requireAnswering } from "./pod_namespace.ts";

Deno.test("requireAnswering() waits for many, and not for what is silent nor behind it", async (t) => {
  const quick = { answerMs: 20, lineMs: 50 };
  const silent = () => new Promise<never>(() => {});

  await t.step("many at once, there or not", async () => {
    const paths = Array.from({ length: 250 }, (_, i) => i % 2 ? "/" : `/no/such/${i}`);
    await Promise.all(paths.map((path) => requireAnswering(path)));
  });
  await t.step("answered while the thread was busy", () =>
    requireAnswering("/busy", {
      ...quick,
      stat: () => {
        const end = performance.now() + 60;
        const { promise, resolve } = Promise.withResolvers<void>();
        setTimeout(resolve, 1);
        while (performance.now() < end); // both timers are due
        return promise;
      },
    }));
  await t.step("silent", async () => {
    // seven of eight places: one is left
    await Promise.all(
      Array.from({ length: 7 }, () =>
        assertRejects(
          () => requireAnswering("/dead", { ...quick, stat: silent }),
          EndpointError,
          "Cannot use network namespace /dead: its file system is silent",
        )),
    );
    await requireAnswering("/");
  });
  await t.step("behind those that are silent", async () => {
    await assertRejects(() => requireAnswering("/dead", { ...quick, stat: silent }), EndpointError);
    await assertRejects(
      () => requireAnswering("/", quick),
      EndpointError,
      "the file systems of others before it are silent",
    );
  });
});
