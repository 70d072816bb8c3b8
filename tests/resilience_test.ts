// The agent may die: traffic goes on, and what is changed behind its back is put right.

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { BpfMap } from "../datapath/bpf/mod.ts";
import { PEER, ping, settle, tcp } from "./lab/clients.ts";
import { withLab } from "./lab/test_lab.ts";

const SECONDS = 30;

Deno.test("an agent that is killed and comes back costs no packet and no connection", async () => {
  await withLab({}, async ({ a, b, pod }) => {
    const near = await pod(a, "near"), client = await pod(a, "client"), far = await pod(b, "far");
    await settle(() => ping(client, far.ipv4, "-W1"), ({ code }) => code === 0);

    const pings = [near.ipv4, far.ipv4, far.ipv6].map((ip) =>
      client.exec(["ping", "-n", "-q", "-i", "0.01", "-c", String(SECONDS * 100), ip])
    );
    const streams = [near.ipv4, far.ipv6].map((ip) =>
      client.exec([...PEER, "stream", ip, "7000", String(SECONDS)])
    );
    await delay(4000);
    await a.stopAgent("SIGKILL");
    await delay(5000);
    assertEquals((await tcp(client, far.ipv4)).ok, true, "a new connection without agent");
    a.startAgent();
    await a.ready();

    for (const result of await Promise.all(pings)) {
      assertStringIncludes(result.stdout, ` 0% packet loss`);
    }
    for (const { stdout, code } of await Promise.all(streams)) {
      assertEquals(code, 0);
      assertEquals(JSON.parse(stdout.trim().split("\n").at(-1)!).ok, true, stdout);
    }
    assertEquals((await a.status()).endpoints, { total: 2, ready: 2 });
  });
});

Deno.test("a map that is wiped by hand is whole again within the repair interval, and status tells", async () => {
  await withLab({ agentArgs: ["--repair-interval", "1"] }, async ({ a, b, pod, expectDrops }) => {
    const client = await pod(a, "client"), near = await pod(a, "near"), far = await pod(b, "far");
    await settle(() => ping(client, far.ipv4, "-W1"), ({ code }) => code === 0);
    const before = (await a.status()).reconcilers;
    expectDrops(
      "Address is of no endpoint here",
      "No tunnel endpoint for the address",
      "No known pod has the address",
    );
    expectDrops("Endpoint not ready", "Device is of no endpoint");
    for (const name of ["pilus_ipcache", "pilus_policies", "pilus_rules"]) {
      using map = BpfMap.openPinned(`${a.directory}/bpf/pilus/maps/${name}`, name);
      map.clear();
    }
    const status = await settle(
      () => a.status(),
      ({ reconcilers }) =>
        reconcilers.every(({ pending }) => pending === 0) &&
        repairs(reconcilers, "ipcache") > repairs(before, "ipcache") &&
        repairs(reconcilers, "policies") > repairs(before, "policies"),
    );
    assert(status.health.ok);
    for (const pod of [near, far]) assertEquals((await tcp(client, pod.ipv4)).ok, true);
  });
});

function repairs(rows: { name: string; repairs: number }[], name: string): number {
  return rows.find((row) => row.name === name)!.repairs;
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
