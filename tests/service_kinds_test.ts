// What a Service may ask for besides an address, by clients outside and inside.

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { ServiceView } from "../agent/api/views.ts";
import { type LabHost, OUTSIDE } from "../cli/lab/lab.ts";
import { announce, balanced, serviceManifest } from "./lab/balancer.ts";
import { assertTcp, get, inKernel, PEER, settle, tcp, udp } from "./lab/clients.ts";
import { withLab } from "./lab/test_lab.ts";
import { FAMILIES, type Family } from "../datapath/testdata/families.ts";

/** Addresses in the cluster by number. */
function cluster(number: number) {
  return { ipv4: `10.96.2.${number}`, ipv6: `fd60:96::2:${number}` } as const;
}

/** A Service at the addresses of its number, inside and outside; without node ports. */
function manifest(
  name: string,
  number: number,
  selector: Record<string, string> | undefined,
  spec: Record<string, unknown> = {},
  annotations: Record<string, string> = {},
): string {
  return serviceManifest(name, selector, {
    annotations,
    ingress: Object.values(balanced(number)),
    spec: {
      type: "LoadBalancer",
      clusterIP: cluster(number).ipv4,
      clusterIPs: Object.values(cluster(number)),
      allocateLoadBalancerNodePorts: false,
      ports: [
        { name: "http", port: 80, targetPort: 8080 },
        { name: "tcp", port: 7, targetPort: 7000 },
        { name: "udp", port: 7, targetPort: 7000, protocol: "UDP" },
      ],
      ...spec,
    },
  });
}

function slice(service: string, name: string, endpoints: unknown[], family: "IPv4" | "IPv6") {
  return JSON.stringify({
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name, namespace: "demo", labels: { "kubernetes.io/service-name": service } },
    addressType: family,
    endpoints,
    ports: [
      { name: "http", port: 8080 },
      { name: "tcp", port: 7000 },
      { name: "udp", port: 7000, protocol: "UDP" },
    ],
  });
}

/** Names of the backends that so many requests find. */
async function found(host: LabHost, ip: string, times = 10, port = 80): Promise<string[]> {
  const names = new Set<string>();
  for (let i = 0; i < times; i++) names.add(await get(host, ip, "/", { port }));
  return [...names].sort();
}

Deno.test("services do what their fields ask for", async (t) => {
  await withLab({ routing: "native" }, async ({ lab, a, b, pod, serve, expectDrops }) => {
    await announce(lab, a);
    const labels = { app: "echo" };
    const client = await pod(a, "client");
    const here = await pod(a, "here", { labels });
    const there = await pod(b, "there", { labels: { ...labels, at: "there" } });
    const services = (node = a) => node.client.call<ServiceView[]>("/v1/services");
    const served = async (name: string, wanted: (service: ServiceView) => boolean) => {
      for (const node of [a, b]) {
        const rows = await settle(
          () => services(node),
          (all) => {
            const own = all.filter((service) => service.name === name);
            return own.length > 0 && own.every(wanted);
          },
        );
        assert(rows.some((service) => service.name === name), `${name} on ${node.name}`);
      }
      await inKernel(a, b);
    };
    const both = ({ backends }: ServiceView) => backends.length === 2;

    await t.step(
      "externalTrafficPolicy Local: this node's backends, and the client's address",
      async () => {
        lab.apply(
          "local",
          manifest("local", 3, labels, {
            externalTrafficPolicy: "Local",
            healthCheckNodePort: 32000,
          }),
        );
        await served("local", both);
        for (const family of FAMILIES) {
          assertEquals(await found(lab.outside, balanced(3)[family]), ["here"]);
          assertEquals(
            await get(lab.outside, balanced(3)[family], "/peer", { port: 80 }),
            OUTSIDE[family],
          );
          // from inside everybody is asked, as by kube-proxy
          assertEquals(await found(client, balanced(3)[family], 20), ["here", "there"]);
          const health = JSON.parse(await get(lab.outside, a[family], "/healthz", { port: 32000 }));
          assertEquals([health.service.name, health.localEndpoints], ["local", 1]);
        }
        // a node without backends of its own says nothing: the balancer may know one that has
        expectDrops("Service backend not found");
        lab.apply(
          "far",
          manifest("far", 40, { at: "there" }, { externalTrafficPolicy: "Local" }),
        );
        await served("far", ({ backends }) => backends.length === 1);
        const far = await settle(
          () => tcp(lab.outside, balanced(40).ipv4, 80),
          ({ error }) => error === "timeout",
        );
        assertEquals(far.error, "timeout");
        lab.remove("far");
      },
    );

    await t.step("internalTrafficPolicy Local: pods ask their own node's backends", async () => {
      lab.apply("near", manifest("near", 4, labels, { internalTrafficPolicy: "Local" }));
      await served("near", both);
      for (const family of FAMILIES) {
        assertEquals(await found(client, cluster(4)[family]), ["here"]);
        assertEquals(await found(a, cluster(4)[family]), ["here"]);
        assertEquals(await found(there, cluster(4)[family]), ["there"]);
        assertEquals(await found(lab.outside, balanced(4)[family], 20), ["here", "there"]);
      }
    });

    await t.step("source ranges", async () => {
      expectDrops("Not in the service's source ranges");
      const ranges = (...loadBalancerSourceRanges: string[]) =>
        lab.apply("ranged", manifest("ranged", 5, labels, { loadBalancerSourceRanges }));
      ranges(`${OUTSIDE.ipv4}/32`, "2001:db8:60::/48");
      await served("ranged", both);
      // the frontend is there, its ranges may be on their way
      for (const family of FAMILIES) await assertTcp(lab.outside, balanced(5)[family], true, 7);
      ranges("192.0.2.0/24", "2001:db8:99::/48");
      await served("ranged", ({ sourceRanges }) => sourceRanges?.[0] !== `${OUTSIDE.ipv4}/32`);
      for (const family of FAMILIES) {
        assertEquals((await tcp(lab.outside, balanced(5)[family], 7)).error, "timeout");
        // pods are not meant
        assertEquals((await tcp(client, balanced(5)[family], 7)).ok, true);
      }
    });

    await t.step("affinity: a client keeps its backend, for its time", async () => {
      const sticky = (timeoutSeconds: number) =>
        lab.apply(
          "sticky",
          manifest("sticky", 6, labels, {
            sessionAffinity: "ClientIP",
            sessionAffinityConfig: { clientIP: { timeoutSeconds } },
          }),
        );
      sticky(600);
      await served("sticky", both);
      for (const family of FAMILIES) {
        assertEquals((await found(lab.outside, balanced(6)[family], 12)).length, 1);
        assertEquals((await found(client, cluster(6)[family], 12)).length, 1);
      }
      sticky(1);
      await served("sticky", ({ affinitySeconds }) => affinitySeconds === 1);
      const names = new Set<string>();
      for (let i = 0; i < 9 && names.size < 2; i++) {
        names.add((await found(client, cluster(6).ipv4, 1))[0]!);
        await new Promise((resolve) => setTimeout(resolve, 1200));
      }
      assertEquals([...names].sort(), ["here", "there"]);
    });

    await t.step(
      "a host port leads to its pod, and no socket of the node may have it",
      async () => {
        lab.apply(
          "pod-demo-here",
          JSON.stringify({
            apiVersion: "v1",
            kind: "Pod",
            metadata: { name: "here", namespace: "demo", labels },
            spec: {
              nodeName: a.name,
              containers: [{
                name: "peer",
                ports: [
                  { name: "http", containerPort: 8080, hostPort: 8099 },
                  { containerPort: 7000, hostPort: 8098, protocol: "UDP" },
                ],
              }],
            },
          }),
        );
        await settle(
          () => services(),
          (rows) => rows.filter(({ type }) => type === "HostPort").length === 4,
        );
        await inKernel(a);
        for (const family of FAMILIES) {
          assertEquals(await get(lab.outside, a[family], "/", { port: 8099 }), "here");
          assertEquals(await get(lab.outside, a[family], "/peer", { port: 8099 }), OUTSIDE[family]);
          assertEquals((await udp(lab.outside, a[family], 8098, "name")).answer, "here");
          assertEquals(await get(client, a[family], "/", { port: 8099 }), "here");
          assertEquals(await get(a, a[family], "/", { port: 8099 }), "here");
        }
        assertEquals(await get(a, "127.0.0.1", "/", { port: 8099 }), "here");
        const bind = "import socket;socket.create_server(('', 8099))";
        const { stderr } = await a.exec(["/usr/bin/python3", "-c", bind]);
        assertStringIncludes(stderr, "Address already in use");
        // 8100 is the only one that the kernel may give
        const any = [
          "import socket",
          "open('/proc/sys/net/ipv4/ip_local_port_range','w').write('8099 8100')",
          "print(socket.create_server(('', 0)).getsockname()[1])",
          `s = socket.create_connection(('${here.ipv4}', 7000)); print(s.getsockname()[1])`,
        ];
        const given = await a.exec(["/usr/bin/python3", "-c", any.join("\n")]);
        assertEquals([given.stdout, given.stderr], ["8100\n8100\n", ""]);
        await a.exec(["sysctl", "-qw", "net.ipv4.ip_local_port_range=32768 60999"]);
      },
    );

    await t.step("a backend may be a node, this one or another", async () => {
      await serve(a);
      await serve(b);
      for (const [number, node] of [[8, a], [9, b]] as const) {
        const name = `node-${number}`;
        lab.apply(name, manifest(name, number, undefined));
        for (const family of ["IPv4", "IPv6"] as const) {
          const addresses = [family === "IPv4" ? node.ipv4 : node.ipv6];
          lab.apply(
            `${name}-${family}`,
            slice(name, `${name}-${family}`.toLowerCase(), [{
              addresses,
            }], family),
          );
        }
        await served(name, ({ backends }) => backends.length === 1);
        for (const family of FAMILIES) {
          assertEquals(await found(lab.outside, balanced(number)[family], 2), [node.name]);
          assertEquals(
            (await udp(lab.outside, balanced(number)[family], 7, "name")).answer,
            node.name,
          );
          assertEquals(await found(client, cluster(number)[family], 2), [node.name]);
        }
        lab.remove(`${name}-IPv4`);
        lab.remove(`${name}-IPv6`);
        lab.remove(name);
      }
    });

    await t.step("a draining backend keeps its connections and gets no new ones", async () => {
      lab.apply("drained", manifest("drained", 10, undefined));
      const set = (terminating: boolean) => {
        const endpoints = (family: Family) => [
          { addresses: [here[family]], conditions: { ready: true } },
          {
            addresses: [there[family]],
            conditions: { ready: !terminating, serving: true, terminating },
          },
        ];
        lab.apply("drained-4", slice("drained", "drained-4", endpoints("ipv4"), "IPv4"));
        lab.apply("drained-6", slice("drained", "drained-6", endpoints("ipv6"), "IPv6"));
      };
      set(false);
      await served("drained", both);
      const streams = Array.from(
        { length: 6 },
        (_, i) => lab.outside.exec([...PEER, "stream", balanced(10)[FAMILIES[i & 1]!], "7", "4"]),
      );
      await new Promise((resolve) => setTimeout(resolve, 700));
      set(true);
      await served(
        "drained",
        ({ backends }) => backends.some(({ state }) => state === "terminating"),
      );
      for (const family of FAMILIES) {
        assertEquals(await found(lab.outside, balanced(10)[family], 12), ["here"]);
        assertEquals(await found(client, cluster(10)[family], 12), ["here"]);
      }
      for (const { stdout, stderr } of await Promise.all(streams)) {
        assertStringIncludes(stdout, '"ok": true', stderr);
      }
    });

    await t.step("a backend in maintenance", async () => {
      const states = JSON.stringify({ [here.ipv4]: "maintenance", [here.ipv6]: "maintenance" });
      lab.apply("kept", manifest("kept", 11, labels, {}, { "pilus.io/backend-states": states }));
      await served("kept", both);
      for (const family of FAMILIES) {
        assertEquals(await found(lab.outside, balanced(11)[family], 12), ["there"]);
        assertEquals(await found(client, cluster(11)[family], 12), ["there"]);
      }
      const { stdout } = await a.cli("service", "get", "demo/kept");
      assertStringIncludes(stdout, "maintenance");
    });

    await t.step("an agent that is killed and comes back costs no connection", async () => {
      lab.apply("steady", manifest("steady", 12, labels));
      await served("steady", both);
      const streams = Array.from(
        { length: 8 },
        (_, i) => lab.outside.exec([...PEER, "stream", balanced(12)[FAMILIES[i & 1]!], "7", "6"]),
      );
      await new Promise((resolve) => setTimeout(resolve, 1000));
      const before = (await services()).find(({ name }) => name === "steady")!.id;
      await a.stopAgent("SIGKILL");
      assertEquals((await tcp(lab.outside, balanced(12).ipv4, 7)).ok, true);
      a.startAgent();
      await a.ready();
      for (const { stdout, stderr } of await Promise.all(streams)) {
        assertStringIncludes(stdout, '"ok": true', stderr);
      }
      assertEquals((await services()).find(({ name }) => name === "steady")!.id, before);
    });

    await t.step(
      "a backend removed under load: the others' connections go on, its own end",
      async () => {
        expectDrops("Address is of no endpoint here", "Endpoint not ready", "No route");
        const doomed = await pod(b, "doomed", { labels });
        await served("steady", ({ backends }) => backends.length === 3);
        const streams = Array.from(
          { length: 18 },
          (_, i) => lab.outside.exec([...PEER, "stream", balanced(12)[FAMILIES[i & 1]!], "7", "5"]),
        );
        await new Promise((resolve) => setTimeout(resolve, 1500));
        await doomed.delete();
        lab.remove("pod-demo-doomed");
        const results = await Promise.all(streams);
        const ended = results.filter(({ stdout }) => !stdout.includes('"ok": true'));
        assert(ended.length > 0 && ended.length < results.length, `${ended.length} of 18 ended`);
        for (const { stderr } of ended) {
          assert(/reset|ended after|Broken pipe/i.test(stderr), stderr);
        }
        await served("steady", both);
        for (const family of FAMILIES) {
          assertEquals(await found(lab.outside, balanced(12)[family], 20), ["here", "there"]);
        }
      },
    );

    await t.step("where a flow would go, and whose addresses are translated", async () => {
      const vip = `${balanced(12).ipv4}:7`;
      const { stdout } = await a.cli("service", "trace", vip, "--from", `${OUTSIDE.ipv4}:4000`);
      assertStringIncludes(stdout, "Maglev table");
      assertStringIncludes((await a.cli("nat", "list")).stdout, balanced(12).ipv4);
      const { stdout: list } = await a.cli("service", "list");
      assertStringIncludes(list, "LoadBalancer");
    });

    await t.step("no backend at all: refused at once, from outside too", async () => {
      expectDrops("Service has no backend");
      lab.apply("steady", manifest("steady", 12, { app: "nobody" }));
      await served("steady", ({ backends }) => backends.length === 0);
      for (const family of FAMILIES) {
        for (const result of [tcp, udp].map((ask) => ask(lab.outside, balanced(12)[family], 7))) {
          assertEquals((await result).error, "ECONNREFUSED");
        }
      }
      // and back again
      lab.apply("steady", manifest("steady", 12, labels));
      await served("steady", both);
      assertEquals((await tcp(lab.outside, balanced(12).ipv4, 7)).ok, true);
    });
  });
});
