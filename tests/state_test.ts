// What the agent remembers may be lost, full or another agent's: pods that live keep their network.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { mount, umount } from "../datapath/bpf/ffi/libc.ts";
import { settle, tcp } from "./lab/clients.ts";
import { withLab } from "./lab/test_lab.ts";

const DENY = JSON.stringify({
  apiVersion: "networking.k8s.io/v1",
  kind: "NetworkPolicy",
  metadata: { name: "deny", namespace: "demo" },
  spec: { podSelector: { matchLabels: { app: "web" } }, policyTypes: ["Ingress"] },
});

function fill(path: string): void {
  using file = Deno.openSync(path, { write: true, create: true });
  for (const size of [64 * 1024, 1]) {
    try {
      while (true) file.writeSync(new Uint8Array(size));
    } catch { /* full */ }
  }
}

Deno.test("an agent whose state is lost or without room serves its pods, and says what is wrong", async (t) => {
  await withLab({ nodes: 1 }, async ({ lab, a, pod, expectDrops, expectErrors }) => {
    expectDrops("Policy denied");
    const state = `${a.directory}/state`;
    const web = await pod(a, "web"), client = await pod(a, "client");
    const shown = async () => (await a.cli("endpoint", "list", "-o", "json")).stdout;
    const before = await shown();
    await a.stopAgent("SIGKILL");
    mount("tmpfs", state, "tmpfs", 0);
    try {
      await t.step("an empty state directory", async () => {
        a.startAgent();
        await a.ready();
        assertEquals(await shown(), before);
        assertEquals((await tcp(client, web.ipv4)).ok, true);
      });

      await t.step("no room", async () => {
        await a.exec(["mount", "-o", "remount,size=1m", state]);
        fill(`${state}/fill`);
        const { health } = await a.status();
        assertMatch(health.reason ?? "", /no space is left in .*state/);
        const late = a.createPod("demo", "late");
        const refused = JSON.parse((await a.cni("ADD", late)).stdout);
        assertMatch(refused.msg, /full/);
        assertMatch(refused.details, /make room/);
        assertEquals((await a.cni("DEL", late)).code, 0);

        lab.apply("deny", DENY);
        const denied = await settle(() => tcp(client, web.ipv4), ({ ok }) => !ok);
        assertEquals(denied.error, "timeout");
        lab.remove("deny");
        assert((await settle(() => tcp(client, web.ipv4), ({ ok }) => ok === true)).ok);

        expectErrors("is deleted, not forgotten");
        await client.delete();
        await a.stopAgent("SIGKILL");
        a.startAgent();
        const { endpoints } = await settle(
          () => a.status().catch(() => undefined),
          (status) => status?.endpoints.ready === 1,
        ) ?? {};
        assertEquals(endpoints, { total: 1, ready: 1 });

        Deno.removeSync(`${state}/fill`);
        await a.ready();
        await late.add();
        await late.delete();
      });
    } finally {
      await a.stopAgent();
      umount(state, 2);
    }
    a.startAgent();
    await a.ready();
  });
});

Deno.test("a second agent on a node refuses, whatever it shares with the first", async (t) => {
  await withLab({ nodes: 1 }, async ({ a, pod }) => {
    const web = await pod(a, "web"), client = await pod(a, "client");
    const own = (name: string) => [`--${name}`, `${a.directory}/other-${name}`];
    const more: [string, string[]][] = [
      ["everything", []],
      ["state and bpffs", own("run-dir")],
      ["the bpffs", [...own("run-dir"), ...own("state-dir")]],
      ["the network namespace", [
        ...[...own("run-dir"), ...own("state-dir")],
        ...["--bpffs", `${a.directory}/bpf/other`],
      ]],
    ];
    /** What programs, links and maps there are of any agent of the node. */
    const pinned = async () => (await a.exec(["find", `${a.directory}/bpf`, "-type", "f"])).stdout;
    const before = await pinned();
    assertMatch(before, /pilus_ct/);
    for (const [name, words] of more) {
      await t.step(name, async () => {
        const { code, stderr } = await a.exec(["timeout", "10", ...a.agentWords, ...words]);
        assertEquals(code, 1, stderr);
        assertMatch(stderr, /another agent does; stop it first/);
        assertEquals(await pinned(), before);
        assertEquals((await a.status()).endpoints, { total: 2, ready: 2 });
        assertEquals((await tcp(client, web.ipv4)).ok, true);
      });
    }
    await t.step("and one whose options cannot be, before it touches anything", async () => {
      await a.stopAgent();
      const taken = a.spawn(["/usr/bin/python3", "-SEm", "http.server", "9962"], {}, {
        stdout: "null",
        stderr: "null",
      });
      const other = ["--bpffs", `${a.directory}/bpf/other`, ...own("run-dir"), ...own("state-dir")];
      await settle(
        () => a.exec(["curl", "-s", "http://127.0.0.1:9962/"]),
        ({ code }) => code === 0,
      );
      const cases: [string[], RegExp][] = [
        [["--metrics", ":9962"], /Cannot listen on --metrics 127.0.0.1:9962/],
        [["--metrics", "none"], /takes HOST:PORT/],
        [["--cgroup", a.directory], /is no cgroup v2/],
      ];
      for (const [words, message] of cases) {
        const run = await a.exec(["timeout", "10", ...a.agentWords, ...other, ...words]);
        assertMatch(run.stderr, message);
        assertEquals(await pinned(), before);
      }
      taken.kill("SIGKILL");
      await taken.status;
      a.startAgent();
      await a.ready();
    });
    await t.step("when the first has ended, one with another state refuses too", async () => {
      await a.stopAgent();
      const words = [...own("run-dir"), ...own("state-dir")];
      const { code, stderr } = await a.exec(["timeout", "10", ...a.agentWords, ...words]);
      assertEquals(code, 1, stderr);
      assertMatch(stderr, /Cannot take over 2 pods of this node/);
      assertEquals((await tcp(client, web.ipv4)).ok, true);
      a.startAgent();
      await a.ready();
      assertEquals((await a.status()).endpoints, { total: 2, ready: 2 });
    });
  });
});
