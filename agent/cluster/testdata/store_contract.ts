/** What every store of the cluster does: one table of cases. */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { Reconciler } from "../../core/reconciler.ts";
import { Table } from "../../core/table.ts";
import type { ClusterStore } from "../cluster_store.ts";
import { type PublishedEndpoint, publishedEndpointKey } from "../rows.ts";

/** A cluster that nodes can join, and what is left of it when it is disposed of: nothing. */
export interface TestCluster extends AsyncDisposable {
  join(node: string): ClusterStore;
}

/** An endpoint as a node publishes it. */
export function endpoint(pod: string, last: number): PublishedEndpoint {
  return {
    id: last,
    namespace: "demo",
    pod,
    labels: { app: pod, "pod-template-hash": "1" },
    identity: 300,
    identityLabels: { "k8s:app": pod, "k8s:io.kubernetes.pod.namespace": "demo" },
    ipv4: `10.60.1.${last}`,
    ipv6: `fd60:1::${last}`,
    node: "192.168.60.1",
    namedPorts: [{ name: "http", port: 8080, protocol: "TCP" }],
    serviceAccount: "default",
  };
}

/** Resolves when it is so; fails when it does not come to be. */
export async function until(what: () => boolean): Promise<void> {
  for (let i = 0; i < 500 && !what(); i++) await new Promise((resolve) => setTimeout(resolve, 10));
  assertEquals(what(), true);
}

function publisher(store: ClusterStore) {
  const desired = new Table<PublishedEndpoint>({ name: "own", key: publishedEndpointKey });
  const reconciler = new Reconciler({ name: "own", desired, target: store.endpoints });
  return { desired, reconciler };
}

const addressesOf = (store: ClusterStore) =>
  store.addresses.rows().map(({ prefix }) => prefix).sort();

type Case = [name: string, run: (cluster: TestCluster) => Promise<void>];

/** What each store does in a cluster of its own. */
export const STORE_CASES: readonly Case[] = [
  ["gives other nodes what a node publishes, and takes it back", async (cluster) => {
    await using a = cluster.join("node-a");
    await using b = cluster.join("node-b");
    await Promise.all([a.start(), b.start()]);
    const { desired, reconciler } = publisher(a);
    await using _ = reconciler;
    await reconciler.start();
    desired.set(endpoint("web", 5));
    for (const store of [a, b]) await until(() => store.addresses.size === 2);
    assertEquals(b.addresses.rows().find(({ prefix }) => prefix === "10.60.1.5"), {
      prefix: "10.60.1.5",
      identity: 300,
      node: "192.168.60.1",
      key: 0,
      cluster: "default",
      pod: "demo/web",
      labels: { app: "web", "io.kubernetes.pod.namespace": "demo", "pod-template-hash": "1" },
      namedPorts: [{ name: "http", port: 8080, protocol: "TCP" }],
      ready: true,
    });
    assertEquals(await reconciler.repair(), 0);
    desired.set({ ...endpoint("web", 5), identity: 301 });
    await until(() => b.addresses.rows().every(({ identity }) => identity === 301));
    desired.delete("demo/web");
    await until(() => b.addresses.size === 0);
    assertEquals(b.problems.rows(), []);
  }],
  [
    "has what was published before a node joins, and what it published itself before a restart",
    async (cluster) => {
      {
        await using a = cluster.join("node-a");
        await a.start();
        await a.endpoints.apply([endpoint("web", 5), endpoint("stale", 6)], []);
        await a.allocate({ "k8s:app": "web" });
      }
      await using again = cluster.join("node-a");
      await again.start();
      assertEquals(addressesOf(again), ["10.60.1.5", "10.60.1.6", "fd60:1::5", "fd60:1::6"]);
      assertEquals(again.identities.rows().map(({ labels }) => labels), [{ "k8s:app": "web" }]);
      const { desired, reconciler } = publisher(again);
      desired.set(endpoint("web", 5));
      await using _ = reconciler;
      await reconciler.start();
      await until(() => again.addresses.size === 2);
    },
  ],
  ["gives the same labels one number on every node, and others another", async (cluster) => {
    await using a = cluster.join("node-a");
    await using b = cluster.join("node-b");
    const nodes = [a, b];
    await Promise.all(nodes.map((node) => node.start()));
    const sets = Array.from({ length: 100 }, (_, i) => ({ "k8s:app": `a${i}` }));
    const numbers = await Promise.all(
      nodes.map((node) => Promise.all(sets.map((labels) => node.allocate(labels)))),
    );
    assertEquals(numbers[0], numbers[1]!);
    assertEquals(new Set(numbers[0]).size, 100);
    assertEquals(numbers[0]!.every((number) => number >= 256 && number <= 65535), true);
    // in the table of who asked at once, in those of others in time
    for (const [i, id] of numbers[0]!.entries()) {
      assertEquals(a.identities.get(String(id)), { id, labels: sets[i]! });
    }
    await using late = cluster.join("node-c");
    await late.start();
    assertEquals(late.identities.size, 100);
    assertEquals(late.problems.rows(), []);
  }],
  ["refuses a pod whose names are none of the API, and publishes the others", async (cluster) => {
    await using a = cluster.join("node-a");
    await a.start();
    const bad = [
      { ...endpoint("web", 6), namespace: "../.." },
      { ...endpoint("web", 7), pod: "a/b" },
    ];
    const { failed } = await a.endpoints.apply([...bad, endpoint("good", 5)], []);
    assertEquals(failed.map(({ row }) => row), bad);
    for (const { error } of failed) assertStringIncludes(error.message, "Cannot publish");
    await until(() => a.addresses.size === 2);
    assertEquals(addressesOf(a), ["10.60.1.5", "fd60:1::5"]);
  }],
];

/** Declares the tests of a store. */
export function testStore(name: string, create: () => TestCluster): void {
  for (const [title, run] of STORE_CASES) {
    Deno.test(`${name} ${title}`, async () => {
      await using cluster = create();
      await run(cluster);
    });
  }
}
