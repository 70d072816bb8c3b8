/** Pods with a bandwidth of their own. What leaves is measured where the kernel has fq; datapath/pacing_test.ts, too. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { OUTSIDE } from "../cli/lab/lab.ts";
import { FAMILIES } from "../datapath/testdata/families.ts";
import { download, MEGABYTE, settle, sha256, upload } from "./lab/clients.ts";
import { podManifest, withLab } from "./lab/test_lab.ts";

const INGRESS = "kubernetes.io/ingress-bandwidth", EGRESS = "kubernetes.io/egress-bandwidth";
/** Bytes per second of 8 Mbit/s, and what may come at once. */
const RATE = 1_000_000, BURST = RATE / 4;

Deno.test("a pod's bandwidth is kept to, or status says why not", async (t) => {
  await withLab({ routing: "native", nodes: 1 }, async ({ lab, a, pod, serve, expectDrops }) => {
    expectDrops("Over the pod's bandwidth");
    await serve(lab.outside);
    const near = await pod(a, "near");
    const file = `${lab.directory}/megabyte`;
    Deno.writeFileSync(file, MEGABYTE);
    const slow = await pod(a, "slow", { annotations: { [INGRESS]: "8M" } });
    for (const family of FAMILIES) {
      for (const [name, from] of [["outside", OUTSIDE[family]], ["a pod", near[family]]] as const) {
        await t.step(`what arrives from ${name}, ${family}`, async () => {
          const begin = performance.now();
          assertEquals(await download(slow, from), await sha256(MEGABYTE));
          // a slow machine only takes longer
          const least = (MEGABYTE.length - BURST) / RATE * 1000 * 0.95;
          assert(performance.now() - begin > least, `${performance.now() - begin} ms`);
        });
      }
    }
    const { code } = await lab.outside.exec(["tc", "qdisc", "replace", "dev", "lo", "root", "fq"]);
    const hasFq = code === 0;
    await t.step("a limit of what leaves needs fq", async () => {
      const annotations = { [EGRESS]: "8M" };
      lab.apply("pod-demo-near", podManifest(a, "demo", "near", { app: "near" }, annotations));
      const qdiscs = async () => (await a.exec(["tc", "qdisc", "show", "dev", "eth0"])).stdout;
      if (hasFq) {
        await settle(qdiscs, (text) => text.includes("qdisc fq 7069:"));
        assert((await a.status()).health.ok);
        for (const family of FAMILIES) {
          const begin = performance.now();
          assertEquals(await upload(near, OUTSIDE[family], file), await sha256(MEGABYTE));
          const took = performance.now() - begin;
          assert(took > MEGABYTE.length / RATE * 1000 * 0.95, `${took} ms, ${family}`);
        }
      } else {
        const { health } = await settle(() => a.status(), ({ health }) => !health.ok);
        assertStringIncludes(health.reason!, "egress-bandwidth of demo/near is not in force");
      }
      lab.apply("pod-demo-near", podManifest(a, "demo", "near"));
      await settle(() => a.status(), ({ health }) => health.ok);
      await settle(qdiscs, (text) => !text.includes("7069:"));
    });
    await t.step("a limit that is none is a problem", async () => {
      const annotations = { [EGRESS]: "fast" };
      lab.apply("pod-demo-near", podManifest(a, "demo", "near", { app: "near" }, annotations));
      const { problems } = await settle(() => a.status(), ({ problems }) => problems.length > 0);
      assertEquals(problems.map(({ source }) => source), ["Pod demo/near"]);
      assertStringIncludes(problems[0]!.message, "must be bits per second from 1k to 1P");
      lab.apply("pod-demo-near", podManifest(a, "demo", "near"));
    });
  });
});
