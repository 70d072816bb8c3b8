/** A host that no manifest speaks of is a node by itself, until one does. */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { OUTSIDE } from "../cli/lab/lab.ts";
import { inKernel, ping, settle, tcp } from "./lab/clients.ts";
import { podManifest, withLab } from "./lab/test_lab.ts";
import { FAMILIES } from "../datapath/testdata/families.ts";

Deno.test("a host without manifests is a node; a Node of its name comes before it", async () => {
  await withLab({ nodes: 1, nodeManifests: false }, async ({ lab, a, pod, expectErrors }) => {
    const { podCidrs } = await a.status();
    assertEquals(podCidrs, ["10.222.0.0/24", "fd70:696c:7573::/64"]);
    // the host forwards now, and listens to its routers all the same
    const { stdout } = await a.exec(["sysctl", "-n", "net.ipv6.conf.eth0.accept_ra"]);
    assertEquals(stdout.trim(), "2");
    const before = await pod(a, "before"), client = await pod(a, "client", { server: false });
    const reach = async (when: string) => {
      for (const family of FAMILIES) {
        assertEquals((await tcp(client, before[family])).ok, true, `${when}: pod by ${family}`);
        assertEquals((await tcp(a, before[family])).ok, true, `${when}: node by ${family}`);
        assertEquals((await ping(client, OUTSIDE[family])).code, 0, `${when}: out by ${family}`);
      }
    };
    await reach("alone");

    lab.apply(`node-${a.name}`, a.manifest);
    const { problems } = await settle(() => a.status(), ({ problems }) => problems.length > 0);
    const restart = problems.find(({ reason }) => reason === "RestartNeeded");
    assertStringIncludes(restart?.message ?? "", "new pods get addresses of 10.222.0.0/24");
    assertEquals((await a.status()).podCidrs, [...a.podCidrs]);
    await inKernel(a);
    await reach("with its manifest");

    expectErrors("is not reserved");
    await a.stopAgent();
    a.startAgent();
    await a.ready();
    await reach("after the restart");
    const after = await pod(a, "after");
    assertEquals(after.ipv4.startsWith("10.60.1."), true, after.ipv4);
    for (const family of FAMILIES) assertEquals((await tcp(client, after[family])).ok, true);
  });
});

Deno.test("a host waits or refuses where pods' addresses are not its own to give", async () => {
  await withLab({ nodes: 1, nodeManifests: false }, async ({ lab, a, expectErrors }) => {
    expectErrors("Cannot give pods addresses");
    const start = async (...words: string[]) => {
      await a.stopAgent();
      Deno.writeTextFileSync(a.log, "");
      a.startAgent(words);
    };
    const said = (text: string) => settle(() => a.logText(), (log) => log.includes(text));

    await a.stopAgent();
    await a.exec(["ip", "route", "add", "10.222.0.0/16", "via", "192.168.60.254"]);
    await start();
    const refusal = "pod CIDR 10.222.0.0/24 collides with this host's route 10.222.0.0/16 via " +
      "192.168.60.254 dev eth0; name other prefixes by --pod-cidr";
    assertStringIncludes(await said(refusal), refusal);
    const mine = ["--pod-cidr", "10.61.0.0/24"];
    await start(...mine);
    await a.ready();
    assertEquals((await a.status()).podCidrs, ["10.61.0.0/24"]);

    // a route that comes later, while pods have such addresses
    lab.apply("pod", podManifest(a, "demo", "web"));
    await a.addPod("demo", "web");
    await a.exec(["ip", "route", "add", "10.61.0.0/16", "via", "192.168.60.254"]);
    await start(...mine);
    await a.ready();
    assertEquals((await a.status()).problems.map(({ reason }) => reason), ["AddressConflict"]);

    await start("--pod-cidr", "10.62.0.0/24");
    const waits = "without the manifest, --pod-cidr 10.61.0.0/24 goes on";
    assertStringIncludes(await said(waits), waits);
    await start("--pod-cidr", "none");
    assertStringIncludes(await said("--pod-cidr is none"), "waiting for the node's manifest");
    // others' manifests: it is one of a cluster, and waits for its own
    const other = { ...JSON.parse(a.manifest), metadata: { name: "node-z" } };
    lab.apply("node-z", JSON.stringify(other));
    await start(...mine);
    assertStringIncludes(await said("waiting for"), "waiting for the node's manifest");
    lab.remove("node-z");
    await a.ready();
  });
});
