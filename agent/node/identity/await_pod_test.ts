import { assertEquals } from "@std/assert";
import { createResourceTables } from "../../kubernetes/resource_tables.ts";
import type { Pod } from "../../kubernetes/resources.ts";
import { awaitPod } from "./await_pod.ts";

const pod = (name: string): Pod => ({
  kind: "Pod",
  metadata: { name, namespace: "demo", labels: {} },
});

/** Longer than any test. */
const FOR_EVER = 3_600_000;

Deno.test("awaitPod() resolves when the Pod comes, and at once when it is there", async () => {
  const { Pod: pods } = createResourceTables();
  const waiting = awaitPod(pods, "demo/web", { timeout: FOR_EVER });
  pods.set(pod("other"));
  pods.set(pod("web"));
  assertEquals(await waiting, true);
  assertEquals(await awaitPod(pods, "demo/web", { timeout: FOR_EVER }), true);
});

Deno.test("awaitPod() goes on without the Pod after the timeout, or when its caller has gone", async () => {
  const { Pod: pods } = createResourceTables();
  assertEquals(await awaitPod(pods, "demo/web", { timeout: 0 }), false);
  assertEquals(await awaitPod(pods, "demo/web", { timeout: 5 }), false);
  const caller = new AbortController();
  const waiting = awaitPod(pods, "demo/web", { timeout: FOR_EVER, signal: caller.signal });
  caller.abort();
  assertEquals(await waiting, false);
  const { signal } = caller;
  assertEquals(await awaitPod(pods, "demo/web", { timeout: FOR_EVER, signal }), false);
});
