// The CNI plugin against a whole node: the program as installed, the agent, and the runtime's own tool.

import { assertEquals } from "@std/assert";
import type { LabNode } from "../cli/lab/lab.ts";
import { type DatapathLeft, datapathOf } from "./lab/left.ts";
import { serviceManifest } from "./lab/balancer.ts";
import { get, ping, settle } from "./lab/clients.ts";
import { podManifest, withLab } from "./lab/test_lab.ts";
import { FAMILIES } from "../datapath/testdata/families.ts";

const COUNT = 100, WIDTH = 8;

Deno.test("100 pods, 8 at a time: no error, no address twice, and nothing left after DEL", async () => {
  await withLab({ nodes: 1 }, async ({ lab, a }) => {
    const empty = await datapathOf(a);
    const pods = Array.from({ length: COUNT }, (_, n) => a.createPod("demo", `pod-${n}`));
    lab.apply(
      "pods",
      pods.map(({ podName }, n) =>
        JSON.stringify({
          apiVersion: "v1",
          kind: "Pod",
          metadata: { name: podName, namespace: "demo", labels: { app: `app-${n % 10}` } },
          spec: { nodeName: a.name, containers: [{ name: "c", image: "i" }] },
        })
      ).join("\n---\n"),
    );
    await inParallel(pods, (pod) => pod.add());
    for (const family of FAMILIES) {
      assertEquals(new Set(pods.map((pod) => pod[family])).size, COUNT, `addresses: ${family}`);
    }
    assertEquals((await a.status()).endpoints, { total: COUNT, ready: COUNT });
    for (const pod of [pods[0]!, pods[57]!, pods[99]!]) {
      assertEquals((await ping(pod, pods[42]!.ipv4)).code, 0);
      assertEquals((await ping(pod, pods[42]!.ipv6)).code, 0);
    }
    await inParallel(pods, (pod) => pod.delete());
    lab.remove("pods");
    await assertLeft(a, empty);
  });
});

Deno.test("ADD is idempotent, and DEL of what is not there is no error", async () => {
  await withLab({ nodes: 1 }, async ({ a, pod }) => {
    const first = await pod(a, "pod", { server: false });
    const { ipv4, ipv6, hostDevice } = first;
    await first.add();
    assertEquals([first.ipv4, first.ipv6, first.hostDevice], [ipv4, ipv6, hostDevice]);
    await a.cni("DEL", first);
    assertEquals((await a.cni("DEL", first)).code, 0);
    assertEquals((await a.status()).endpoints.total, 0);
  });
});

Deno.test("of two sandboxes of a pod the newer one is the pod's", async () => {
  await withLab({ nodes: 2 }, async ({ lab, a, b, pod, serve, expectDrops }) => {
    expectDrops("Service has no backend");
    const client = await pod(b, "client");
    const manifest = JSON.parse(podManifest(a, "demo", "web", { app: "web" }));
    manifest.spec.containers[0].ports = [{ name: "http", containerPort: 8080, hostPort: 9300 }];
    lab.apply("pod-demo-web", JSON.stringify(manifest));
    lab.apply(
      "service",
      serviceManifest("web", { app: "web" }, {
        spec: { clusterIP: "10.96.9.6", ports: [{ port: 80, targetPort: 8080 }] },
      }),
    );
    // nobody serves in the old one, whose DEL is late
    const old = await a.addPod("demo", "web");
    const fresh = a.createPod("demo", "web", "again");
    await fresh.add();
    await serve(fresh);
    const ways = [[lab.outside, a.ipv4, 9300], [client, "10.96.9.6", 80]] as const;
    for (const step of ["both are there", "the old one has gone"]) {
      if (step !== "both are there") await old.delete();
      for (const [from, ip, port] of ways) {
        const answer = () => get(from, ip, "/", { port }).catch(String);
        for (let i = 0; i < 4; i++) {
          assertEquals(await settle(answer, (name) => name === "web"), "web", `${step}: ${ip}`);
        }
      }
    }
  });
});

Deno.test("cnitool with the installed plugin and the configuration that the agent wrote", async () => {
  await withLab({ nodes: 1 }, async ({ lab, a }) => {
    const cache = Deno.env.get("BUILD_CACHE") ?? `${Deno.env.get("HOME")}/.cache/pilus`;
    const empty = await datapathOf(a);
    const cnitool = async (verb: string, netns: string) => {
      const { code, stdout, stderr } = await new Deno.Command(`${cache}/bin/cnitool`, {
        args: [verb, "pilus", netns],
        env: {
          CNI_PATH: `${a.directory}/bin`,
          NETCONFPATH: `${a.directory}/net.d`,
          CNI_ARGS: "IgnoreUnknown=1;K8S_POD_NAMESPACE=demo;K8S_POD_NAME=tool",
        },
      }).output();
      const decoder = new TextDecoder();
      assertEquals(code, 0, `${verb}: ${decoder.decode(stdout)}${decoder.decode(stderr)}`);
      return decoder.decode(stdout);
    };
    lab.apply("tool", podManifest(a, "demo", "tool"));
    const pod = a.createPod("demo", "tool");
    await cnitool("status", pod.netns);
    const result = JSON.parse(await cnitool("add", pod.netns));
    assertEquals(result.cniVersion, "1.1.0");
    await cnitool("check", pod.netns);
    assertEquals((await ping(pod, a.ipv4)).code, 0);
    await cnitool("del", pod.netns);
    await cnitool("gc", pod.netns);
    await assertLeft(a, empty);
  });
});

/** What is no longer needed is deleted a moment later. */
async function assertLeft(node: LabNode, wanted: DatapathLeft): Promise<void> {
  const same = (now: DatapathLeft) => JSON.stringify(now) === JSON.stringify(wanted);
  assertEquals(await settle(() => datapathOf(node), same), wanted);
}

async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < items.length) await work(items[next++]!);
  };
  await Promise.all(Array.from({ length: WIDTH }, worker));
}
