// ClusterIP services by real clients: at the socket, and per packet for processes outside of the cgroup.

import { assert, assertEquals, assertNotEquals } from "@std/assert";
import type { EndpointView } from "../agent/api/types.ts";
import { get, inKernel, settle, tcp, udp } from "./lab/clients.ts";
import { withLab } from "./lab/test_lab.ts";
import { FAMILIES } from "../datapath/testdata/families.ts";

const VIP = { ipv4: "10.96.0.7", ipv6: "fd60:96::7" } as const;
const EMPTY = { ipv4: "10.96.0.8", ipv6: "fd60:96::8" } as const;

function service(name: string, ips: Record<string, string>, selector?: Record<string, string>) {
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "demo" },
    spec: {
      clusterIP: ips.ipv4,
      clusterIPs: Object.values(ips),
      ...(selector ? { selector } : {}),
      ports: [
        { name: "http", port: 80, targetPort: "http" },
        { name: "tcp", port: 7, targetPort: 7000 },
        { name: "udp", port: 7, targetPort: 7000, protocol: "UDP" },
      ],
    },
  });
}

/** A policy of the pods with the labels: one rule for what comes in. */
function ingress(labels: Record<string, string>, rule: unknown): string {
  return JSON.stringify({
    apiVersion: "cilium.io/v2",
    kind: "CiliumNetworkPolicy",
    metadata: { name: "ingress", namespace: "demo" },
    spec: { endpointSelector: { matchLabels: labels }, ingress: [rule] },
  });
}

Deno.test("a ClusterIP is served to pods and nodes, at the socket and per packet", async (t) => {
  await withLab({}, async ({ lab, a, b, pod, expectDrops }) => {
    const labels = { app: "echo" };
    const client = await pod(a, "client");
    const echoA = await pod(a, "echo-a", { labels });
    const echoB = await pod(b, "echo-b", { labels });
    lab.apply("service", service("echo", VIP, labels));
    lab.apply("empty", service("empty", EMPTY, { app: "nobody" }));
    const services = () => a.client.call<{ name: string; backends: unknown[] }[]>("/v1/services");
    await settle(
      services,
      (rows) =>
        rows.filter(({ name, backends }) => name === "echo" && backends.length === 2).length === 6,
    );

    for (const family of FAMILIES) {
      const step = (name: string, work: () => Promise<void>) => t.step(`${family} ${name}`, work);
      const ip = VIP[family];

      await step("both backends answer, and the socket's peer is the service", async () => {
        const names = new Set<string>();
        for (let i = 0; i < 20; i++) names.add(await get(client, ip, "/", { port: 80 }));
        assertEquals([...names].sort(), ["echo-a", "echo-b"]);
        const { ok, peer } = await tcp(client, ip, 7);
        assertEquals([ok, peer], [true, `${ip}:7`]);
        assertEquals((await udp(client, ip, 7)).peer, `${ip}:7`);
      });

      await step("large datagrams", async () => {
        for (const cgroup of [true, false]) {
          assertEquals((await udp(client, ip, 7, 4000, { cgroup })).ok, true);
        }
      });

      await step("a backend reaches itself through its service", async () => {
        for (let i = 0; i < 6; i++) assertEquals((await tcp(echoA, ip, 7)).ok, true);
      });

      await step("from the node", async () => {
        assertEquals((await tcp(a, ip, 7)).ok, true);
        assertEquals((await udp(a, ip, 7)).ok, true);
      });

      await step("a process whose socket is not translated is served per packet", async () => {
        const names = new Set<string>();
        for (let i = 0; i < 20; i++) {
          names.add(await get(client, ip, "/", { port: 80, cgroup: false }));
        }
        assertEquals([...names].sort(), ["echo-a", "echo-b"]);
        assertEquals((await tcp(client, ip, 7, { cgroup: false })).ok, true);
        assertEquals((await udp(client, ip, 7, 64, { cgroup: false })).ok, true);
      });

      await step("without backend a connection is refused at once, either way", async () => {
        expectDrops("Service has no backend");
        for (const cgroup of [true, false]) {
          assertEquals((await tcp(client, EMPTY[family], 7, { cgroup })).error, "ECONNREFUSED");
          assertEquals((await udp(client, EMPTY[family], 7, 64, { cgroup })).error, "ECONNREFUSED");
        }
      });
    }

    await t.step("an EndpointSlice says where a service without selector is", async () => {
      const ips = { ipv4: "10.96.0.9", ipv6: "fd60:96::9" };
      lab.apply("sliced", service("sliced", ips));
      const use = (address: string) =>
        lab.apply(
          "slice",
          JSON.stringify({
            apiVersion: "discovery.k8s.io/v1",
            kind: "EndpointSlice",
            metadata: {
              name: "sliced-1",
              namespace: "demo",
              labels: { "kubernetes.io/service-name": "sliced" },
            },
            addressType: "IPv4",
            endpoints: [{ addresses: [address], conditions: { ready: true } }],
            ports: [{ name: "http", protocol: "TCP", port: 8080 }],
          }),
        );
      const name = () => get(client, ips.ipv4, "/", { port: 80 }).catch((error) => String(error));
      for (const backend of [echoA, echoB]) {
        use(backend.ipv4);
        const wanted = backend.podName;
        assertEquals(await settle(name, (text) => text === wanted), wanted);
      }
      lab.remove("slice");
    });

    await t.step(
      "another node's node port: the pod is judged as itself, a node as a node",
      async () => {
        const ips = { ipv4: "10.96.0.10", ipv6: "fd60:96::10" };
        const { spec, ...rest } = JSON.parse(service("noded", ips, labels));
        const ports = spec.ports.map((port: object, i: number) => ({
          ...port,
          nodePort: 30070 + i,
        }));
        lab.apply("noded", JSON.stringify({ ...rest, spec: { ...spec, type: "NodePort", ports } }));
        lab.apply(
          "ingress",
          ingress(labels, { fromEndpoints: [{ matchLabels: { app: "client" } }] }),
        );
        for (const node of [a, b]) {
          const { policies } = await settle(() => node.status(), ({ policies }) => policies === 1);
          assertEquals(policies, 1);
        }
        await settle(services, (rows) => rows.some(({ name }) => name === "noded"));
        await inKernel(a, b);
        for (const family of FAMILIES) {
          const ip = b[family];
          for (const cgroup of [true, false]) {
            const names = new Set<string>();
            for (let i = 0; i < 16; i++) {
              names.add(await get(client, ip, "/", { port: 30070, cgroup }));
            }
            assertEquals([...names].sort(), ["echo-a", "echo-b"], `${family}, cgroup ${cgroup}`);
            assertEquals((await udp(client, ip, 30072, 64, { cgroup })).ok, true);
          }
          const { peer } = await tcp(client, ip, 30071);
          assertEquals(peer, `${ip}:30071`);
        }
        // a node whose sockets are not translated asks the other node, which forwards to either pod
        /** What the pods of each node are judged by. */
        const judged = () =>
          Promise.all([a, b].map(async (node) => {
            const endpoints = await node.client.call<EndpointView[]>("/v1/endpoints");
            return endpoints.map(({ policy, revision }) => `${policy} ${revision}`).join();
          }));
        const before = await judged();
        lab.apply("ingress", ingress(labels, { fromEntities: ["remote-node", "host"] }));
        const after = await settle(judged, (now) => now.every((text, i) => text !== before[i]));
        for (const [i, text] of after.entries()) assertNotEquals(text, before[i]);
        await inKernel(a, b);
        for (const ip of [b.ipv4, b.ipv6]) {
          for (let i = 0; i < 8; i++) {
            assertEquals((await tcp(a, ip, 30071, { cgroup: false })).ok, true, ip);
          }
        }
        lab.remove("ingress");
        lab.remove("noded");
      },
    );

    await t.step("a backend that goes takes no new connections", async () => {
      const gone = lab.nodes[1]!;
      const { stdout } = await gone.cli("endpoint", "list", "-o", "json");
      assert(stdout.includes("echo-b"));
      lab.apply("service", service("echo", VIP, { app: "nobody" }));
      await settle(services, (rows) => rows.every(({ backends }) => backends.length === 0));
      await settle(
        () => tcp(client, VIP.ipv4, 7),
        ({ error }) => error === "ECONNREFUSED",
      );
    });
  });
});
