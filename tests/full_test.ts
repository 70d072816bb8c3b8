// What is full says so, harms nobody else, and is well again when there is room.

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { ServiceView } from "../agent/api/views.ts";
import { type LabPod, OUTSIDE } from "../cli/lab/lab.ts";
import { BpfMap } from "../datapath/bpf/mod.ts";
import { announce, balanced, serviceManifest } from "./lab/balancer.ts";
import { flood, get, peer, settle } from "./lab/clients.ts";
import { podManifest, withLab } from "./lab/test_lab.ts";

/** A ClusterIP service with one port. */
function small(name: string, number: number, selector?: Record<string, string>): string {
  return serviceManifest(name, selector, {
    spec: {
      clusterIP: `10.96.3.${number}`,
      ports: [{ name: "http", port: 80, targetPort: 8080 }],
    },
  });
}

/** Where a service without selector is: so many addresses of the other node's pods. */
function slice(service: string, first: number, count: number): string {
  return JSON.stringify({
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      name: `${service}-1`,
      namespace: "demo",
      labels: { "kubernetes.io/service-name": service },
    },
    addressType: "IPv4",
    endpoints: Array.from({ length: count }, (_, i) => ({ addresses: [`10.60.2.${first + i}`] })),
    ports: [{ name: "http", port: 8080 }],
  });
}

Deno.test("tables that are full say so", async (t) => {
  const agentArgs = ["--map-size", "pilus_ct=64,pilus_nat=64"];
  await withLab({ nodes: 1, agentArgs }, async ({ lab, a, pod, serve, expectDrops }) => {
    let only: LabPod;
    await t.step("the pod range", async () => {
      await a.stopAgent();
      const manifest = JSON.parse(a.manifest);
      manifest.spec = { podCIDR: "10.60.1.0/30", podCIDRs: ["10.60.1.0/30", "fd60:1::/64"] };
      lab.apply("node-node-a", JSON.stringify(manifest));
      a.startAgent();
      await a.ready();
      only = await pod(a, "only");
      lab.apply("more", podManifest(a, "demo", "more"));
      const given = await a.cni("ADD", a.createPod("demo", "more"));
      const { code, msg } = JSON.parse(given.stdout);
      assertEquals(code, 11);
      assertMatch(msg, /Pod range 10\.60\.1\.0\/30 is exhausted: 1 of 1 addresses are in use/);
    });

    await t.step("connections: who floods gets as many as are free", async () => {
      expectDrops("Share of connections is spent");
      using map = BpfMap.openPinned(`${a.directory}/bpf/pilus/maps/pilus_ct`, "pilus_ct");
      assertEquals(map.maxEntries, 64);
      await flood(a, only.ipv4, 200);
      const [shortage] = (await a.status()).shortages;
      assertEquals(shortage?.endpoint, "the node and clients outside");
      assertMatch((await a.cli("status")).stdout, /as many connections as are free/);
      // the others have their share, and it has room again when the idle ones have gone
      await serve(lab.outside);
      assertEquals((await peer(only, ["bound", OUTSIDE.ipv4, 7000, 5000])).ok, true);
      await settle(() => get(a, only.ipv4, "/").catch(() => ""), (name) => name === "only");
    });
  });
});

Deno.test("ports of the node that a pod has its share of", async () => {
  const agentArgs = ["--nat-port-range", "40000-40007"];
  await withLab({ nodes: 1, agentArgs }, async ({ lab, a, pod, serve, expectDrops }) => {
    expectDrops("Share of masqueraded ports is spent");
    await serve(lab.outside);
    const one = await pod(a, "one"), two = await pod(a, "two");
    const from = (host: LabPod, port: number) => peer(host, ["bound", OUTSIDE.ipv4, 7000, port]);
    for (const port of [5000, 40000, 40001, 40002, 40003]) {
      assertEquals((await from(one, port)).ok, true, `port ${port}`);
    }
    assertEquals((await a.status()).shortages, []);
    assertEquals((await from(one, 40004)).error, "timeout");
    const [shortage] = (await a.status()).shortages;
    assertEquals(shortage?.endpoint, "demo/one");
    const status = (await a.cli("status")).stdout;
    assertStringIncludes(status, "demo/one: it has as many masqueraded ports as are free");
    assertMatch(
      (await a.cli("endpoint", "get", "demo/one")).stdout,
      /5 masqueraded.*; refused \d+/s,
    );
    // whose own port is not of the range is served, and so are another destination and another pod
    assertEquals((await from(one, 5001)).ok, true);
    assertEquals((await peer(one, ["bound", OUTSIDE.ipv6, 7000, 40004])).ok, true);
    assertEquals((await from(two, 5000)).ok, true);
    assertEquals((await from(two, 40004)).ok, true);
  });
});

Deno.test("services for which there is no room", async (t) => {
  const agentArgs = [
    ...["--map-size", "pilus_services=24,pilus_backends=32,pilus_maglev=66"],
    ...["--repair-interval", "1"],
  ];
  await withLab({ agentArgs, nodes: 1 }, async ({ lab, a, pod, expectErrors }) => {
    expectErrors("rows in error", "Map pilus_services is full", "Map pilus_backends is full");
    await announce(lab, a);
    const client = await pod(a, "client", { server: false });
    await pod(a, "server", { labels: { app: "server" } });
    lab.apply("svc-first", small("first", 1, { app: "server" }));
    const works = () => get(client, "10.96.3.1", "/", { port: 80 });
    await settle(async () => {
      try {
        return await works();
      } catch {
        return "";
      }
    }, (name) => name === "server");

    const well = async () => {
      const { health } = await settle(() => a.status(), ({ health }) => health.ok);
      assertEquals(health, { ok: true });
      assertEquals(await works(), "server");
    };
    const unwell = async (map: string) => {
      const { health } = await settle(() => a.status(), ({ health }) => !health.ok);
      assertMatch(
        health.reason ?? "",
        new RegExp(
          `Map ${map} is full: it has room for \\d+ rows; end the agent, remove the map's pin and start it with --map-size ${map}=`,
        ),
      );
      assertEquals((await a.cli("status")).code, 1);
      assertEquals(await works(), "server", "the others are served");
    };

    await t.step("more frontends than rows", async () => {
      const names = Array.from({ length: 30 }, (_, i) => i + 2);
      for (const i of names) lab.apply(`svc-many-${i}`, small(`many-${i}`, i, { app: "server" }));
      await unwell("pilus_services");
      for (const i of names) lab.remove(`svc-many-${i}`);
      await well();
    });

    await t.step("more backends than rows", async () => {
      for (const [i, name] of ["x", "y"].entries()) {
        lab.apply(`svc-${name}`, small(name, 50 + i));
        lab.apply(`slice-${name}`, slice(name, 10 + 20 * i, 18));
      }
      await unwell("pilus_backends");
      lab.remove("svc-x");
      lab.remove("slice-x");
      await well();
      const services = await a.client.call<ServiceView[]>("/v1/services");
      assertEquals(services.find(({ name }) => name === "y")?.backends.length, 18);
      lab.remove("svc-y");
      lab.remove("slice-y");
      await well();
    });

    await t.step("more Maglev tables than rows: at random, until there is room", async () => {
      for (const i of [1, 2, 3]) {
        // equal sets share a table
        const labels = { app: `server-${i}` };
        await pod(a, `server-${i}`, { labels });
        lab.apply(
          `svc-out-${i}`,
          serviceManifest(`out-${i}`, labels, {
            ingress: [balanced(60 + i).ipv4],
            spec: {
              type: "LoadBalancer",
              clusterIP: `10.96.3.${60 + i}`,
              allocateLoadBalancerNodePorts: false,
              ports: [{ name: "http", port: 80, targetPort: 8080 }],
            },
          }),
        );
      }
      const { health } = await settle(
        () => a.status(),
        ({ servicesWithoutTable }) => servicesWithoutTable > 0,
      );
      assertEquals(health, { ok: true }, "at random is well enough");
      assertStringIncludes((await a.cli("status")).stdout, "chosen at random");
      for (const i of [1, 2, 3]) {
        const found = await get(lab.outside, balanced(60 + i).ipv4, "/", { port: 80 });
        assertEquals(found, `server-${i}`);
      }
      lab.remove("svc-out-1");
      const after = await settle(
        () => a.status(),
        ({ servicesWithoutTable }) => servicesWithoutTable === 0,
      );
      assert(after.servicesWithoutTable === 0, "the third has the first's room");
      for (const i of [2, 3]) {
        const found = await get(lab.outside, balanced(60 + i).ipv4, "/", { port: 80 });
        assertEquals(found, `server-${i}`);
      }
    });
  });
});
