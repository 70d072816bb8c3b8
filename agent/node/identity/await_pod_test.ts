import { assertEquals } from "@std/assert";
import { createResourceTables } from "../../kubernetes/resource_tables.ts";
import type { Pod } from "../../kubernetes/resources.ts";
import { awaitPod } from "./await_pod.ts";

const pod = (name: string, uid = ""): Pod => ({
  kind: "Pod",
  metadata: { name, namespace: "demo", labels: {}, ...(uid ? { uid } : {}) },
});

/** Longer than any test. */
const FOR_EVER = 3_600_000;

Deno.test("awaitPod() resolves when the Pod comes, and at once when it is there", async () => {
  const { Pod: pods } = createResourceTables();
  const waiting = awaitPod(pods, "demo/web", { timeout: FOR_EVER });
  pods.set(pod("other"));
  pods.set(pod("web"));
  assertEquals(await waiting, "found");
  assertEquals(await awaitPod(pods, "demo/web", { timeout: FOR_EVER }), "found");
});

Deno.test("awaitPod() goes on without the Pod after the timeout, or when its caller has gone", async () => {
  const { Pod: pods } = createResourceTables();
  assertEquals(await awaitPod(pods, "demo/web", { timeout: 0 }), "missing");
  assertEquals(await awaitPod(pods, "demo/web", { timeout: 5 }), "missing");
  const caller = new AbortController();
  const waiting = awaitPod(pods, "demo/web", { timeout: FOR_EVER, signal: caller.signal });
  caller.abort();
  assertEquals(await waiting, "missing");
  const { signal } = caller;
  assertEquals(await awaitPod(pods, "demo/web", { timeout: FOR_EVER, signal }), "missing");
});

Deno.test("awaitPod() waits for the Pod of the UID, not for an older one of its name", async () => {
  const { Pod: pods } = createResourceTables();
  pods.set(pod("web", "old"));
  assertEquals(await awaitPod(pods, "demo/web", { uid: "new", timeout: 5 }), "other");
  assertEquals(await awaitPod(pods, "demo/web", { uid: "old", timeout: 5 }), "found");
  assertEquals(await awaitPod(pods, "demo/web", { timeout: 5 }), "found");
  const waiting = awaitPod(pods, "demo/web", { uid: "new", timeout: FOR_EVER });
  pods.delete("demo/web");
  pods.set(pod("web", "new"));
  assertEquals(await waiting, "found");
  // a manifest that people write says none
  pods.set(pod("web"));
  assertEquals(await awaitPod(pods, "demo/web", { uid: "new", timeout: 5 }), "found");
});
