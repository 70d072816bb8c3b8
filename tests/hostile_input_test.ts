// Files and names that are made to harm the agent: it says what is wrong and serves everybody else.

import { assert, assertEquals, assertMatch } from "@std/assert";
import type { StatusView } from "../agent/api/views.ts";
import { assertTcp, PEER, settle, tcp } from "./lab/clients.ts";
import { withLab } from "./lab/test_lab.ts";

const DENY = JSON.stringify({
  apiVersion: "networking.k8s.io/v1",
  kind: "NetworkPolicy",
  metadata: { name: "deny", namespace: "demo" },
  spec: { podSelector: { matchLabels: { app: "web" } }, policyTypes: ["Ingress"] },
});

Deno.test("while hostile manifests are read, pods are added and policies change", async (t) => {
  await withLab({ nodes: 1 }, async ({ lab, a, pod, expectDrops }) => {
    expectDrops("Policy denied");
    const web = await pod(a, "web"), client = await pod(a, "client");
    const problemsOf = ({ problems }: StatusView, source: string) =>
      problems.filter((problem) => problem.source === source).map(({ message }) => message);

    await t.step("one takes the reader's whole time", async () => {
      // each key is compared with all before it
      lab.apply("slow", Array.from({ length: 60_000 }, (_, i) => `k${i}: 1\n`).join(""));
      lab.apply("list", "a:\n" + "- b\n".repeat(2_000_000));
      lab.apply("deep", "[".repeat(100_000));
      lab.apply("deny", DENY);
      assertEquals(
        (await settle(() => tcp(client, web.ipv4), ({ ok }) => !ok)).error,
        "timeout",
      );
      const late = await a.addPod("demo", "late");
      await late.delete();
      lab.remove("deny");
      assert((await settle(() => tcp(client, web.ipv4), ({ ok }) => ok === true)).ok);
      const status = await settle(
        () => a.status(),
        (status) => problemsOf(status, "list.yaml").length > 0,
      );
      assertMatch(problemsOf(status, "list.yaml").join(), /parts; make it several/);
      assertMatch(problemsOf(status, "deep.yaml").join(), /levels of maps and lists/);
      assert(status.health.ok);
    });

    await t.step("an agent starts with them, and gives up on what takes too long", async () => {
      await a.stopAgent();
      a.startAgent();
      const status = await settle(
        () => a.status().catch(() => undefined),
        (status) => status !== undefined && problemsOf(status, "slow.yaml").length > 0,
        60_000,
      );
      assertMatch(problemsOf(status!, "slow.yaml").join(), /takes longer than 30 s to read/);
      assertEquals(status!.endpoints, { total: 2, ready: 2 });
      for (const name of ["slow", "list", "deep"]) lab.remove(name);
      await settle(() => a.status(), ({ problems }) => problems.length === 0);
    });
  });
});

/** What stands before the comment allows more than the whole. */
const GUARD = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: guard, namespace: demo}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
    - ports: [{port: 7000}] # from everywhere
      from: [{podSelector: {matchLabels: {app: client}}}]
`;

Deno.test("a policy that is written anew, broken or away opens nothing, with a restart of the agent in between", async (t) => {
  await withLab({ nodes: 1 }, async ({ lab, a, pod, expectDrops }) => {
    expectDrops("Policy denied");
    const path = `${lab.manifests}/guard.yaml`;
    lab.apply("guard", GUARD);
    const web = await pod(a, "web"), client = await pod(a, "client"), guest = await pod(a, "guest");
    await assertTcp(client, web.ipv4, true);
    await assertTcp(guest, web.ipv4, false);
    const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
    const chat = guest.spawn([...PEER, "chat", web.ipv4, "7000", "60"]);
    const said = chat.output();

    await t.step("written in place, slowly", async () => {
      for (let round = 0; round < 2; round++) {
        for (const end of [0, GUARD.indexOf(" #"), undefined]) {
          Deno.writeTextFileSync(path, GUARD.slice(0, end));
          await pause(600);
        }
      }
    });

    await t.step("away while the agent starts, then cut", async () => {
      Deno.removeSync(path);
      await a.stopAgent();
      a.startAgent();
      await settle(() => a.status().catch(() => undefined), (status) => status !== undefined);
      Deno.writeTextFileSync(path, GUARD.slice(0, GUARD.indexOf("client")));
      await pause(2000);
      const { problems } = await a.status();
      assertEquals([...new Set(problems.map(({ source }) => source))], ["guard.yaml"]);
    });

    await t.step(
      "a directory in its place: it is gone, and status has nothing to say",
      async () => {
        chat.kill();
        const { echoes } = JSON.parse(new TextDecoder().decode((await said).stdout));
        assertEquals(echoes, 0, "of the guest");
        Deno.removeSync(path);
        Deno.mkdirSync(path);
        await assertTcp(guest, web.ipv4, true);
        assertEquals((await a.status()).problems, []);
        Deno.removeSync(path);
      },
    );
  });
});

Deno.test("what people see has no control characters of names from outside, and JSON has them", async () => {
  await withLab({ nodes: 1 }, async ({ lab, a }) => {
    const name = "evil\x1b]0;title\x07\x9b31m.yaml";
    Deno.writeTextFileSync(`${lab.manifests}/${name}`, "x: [");
    const { problems } = await settle(() => a.status(), ({ problems }) => problems.length > 0);
    assertEquals(problems[0]!.source, name);
    const { stdout } = await a.cli("status");
    assertMatch(stdout, /evil\\x1b\]0;title\\x07\\x9b31m\.yaml/);
    assertEquals(stdout.replaceAll("\n", "").match(/\p{Cc}/gu), null);
    const json = JSON.parse((await a.cli("status", "-o", "json")).stdout) as StatusView;
    assertEquals(json.problems[0]!.source, name);
    Deno.removeSync(`${lab.manifests}/${name}`);
  });
});
