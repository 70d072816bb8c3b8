/** The cluster's store `etcd` on a real etcd. */

import { assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { EtcdStore, type EtcdStoreOptions } from "../agent/cluster/etcd/etcd_store.ts";
import { endpoint, STORE_CASES, until } from "../agent/cluster/testdata/store_contract.ts";
import { Log } from "../agent/core/log.ts";
import { whyNoControlPlane } from "./kubernetes/control_plane.ts";
import { Etcd } from "./kubernetes/etcd.ts";
import { freePort } from "./kubernetes/free_port.ts";
import { retry } from "./kubernetes/retry.ts";
import { TcpProxy } from "./kubernetes/tcp_proxy.ts";

const why = whyNoControlPlane();
const STATE = "cilium/state/";
const ADDRESSES = `${STATE}ip/v1/default/`;
const NUMBERS = `${STATE}identities/v1/id/`;

const storeOf = (etcd: Etcd, node: string, more: Partial<EtcdStoreOptions> = {}) =>
  new EtcdStore({
    ...{ access: () => ({ endpoints: [etcd.url] }), node, log: new Log("error") },
    ...{ mostBackoffMs: 200, leaseTtl: 3, ...more },
  });

const clear = (etcd: Etcd) =>
  etcd.ask("/v3/kv/deleterange", { key: btoa(STATE), range_end: btoa("cilium/state0") });

const podsOf = ({ addresses }: EtcdStore) =>
  [...new Set(addresses.rows().map(({ pod }) => pod))].sort();

/** What the store has is what etcd says now. */
async function assertInSync(etcd: Etcd, ...stores: EtcdStore[]): Promise<void> {
  await retry(async () => {
    const keys = Object.keys(await etcd.entries(ADDRESSES));
    const numbers = Object.keys(await etcd.entries(NUMBERS));
    for (const { addresses, identities } of stores) {
      const known = addresses.rows().map(({ prefix }) => ADDRESSES + prefix).sort();
      assertEquals(known, keys.sort());
      assertEquals(identities.rows().map(({ id }) => `${NUMBERS}${id}`).sort(), numbers.sort());
    }
  });
}

Deno.test({
  name: `the store etcd on a real etcd${why ? ` (skipped: ${why})` : ""}`,
  ignore: why !== undefined,
  async fn(t) {
    await using etcd = await Etcd.start();

    for (const [title, run] of STORE_CASES) {
      await t.step(title, async () => {
        await clear(etcd);
        await run({
          join: (node) => storeOf(etcd, node),
          [Symbol.asyncDispose]: () => Promise.resolve(),
        });
      });
    }

    await t.step("keys have Cilium's layout, and a pod is one request of its node", async () => {
      await clear(etcd);
      await using a = storeOf(etcd, "node-a");
      await a.start();
      const id = await a.allocate({ "k8s:app": "web", "k8s:io.kubernetes.pod.namespace": "demo" });
      const before = a.client.requests;
      await a.endpoints.apply([endpoint("web", 5)], []);
      assertEquals(a.client.requests, before + 1);
      const labels = "k8s:app=web;k8s:io.kubernetes.pod.namespace=demo;";
      const entries = await etcd.entries(STATE);
      assertEquals(Object.keys(entries).sort(), [
        `${NUMBERS}${id}`,
        `${STATE}identities/v1/value/${labels}/node-a`,
        `${ADDRESSES}10.60.1.5`,
        `${ADDRESSES}fd60:1::5`,
      ]);
      assertEquals(entries[`${NUMBERS}${id}`], labels);
      assertEquals(entries[`${STATE}identities/v1/value/${labels}/node-a`], String(id));
      const { IP, Mask, HostIP, ID, K8sNamespace, K8sPodName, NamedPorts } = JSON.parse(
        entries[`${ADDRESSES}10.60.1.5`]!,
      );
      assertEquals([IP, Mask, HostIP, ID], ["10.60.1.5", null, "192.168.60.1", 300]);
      assertEquals([K8sNamespace, K8sPodName], ["demo", "web"]);
      assertEquals(NamedPorts, [{ Name: "http", Port: 8080, Protocol: "TCP" }]);
      // more than a transaction takes
      const many = Array.from({ length: 200 }, (_, i) => endpoint(`many-${i}`, i + 10));
      assertEquals((await a.endpoints.apply(many, [])).failed, []);
      await until(() => a.addresses.size === 402);
    });

    await t.step(
      "what is deleted behind a node's back comes back; an address that is another's by now stays",
      async () => {
        await clear(etcd);
        await using a = storeOf(etcd, "node-a");
        await using b = storeOf(etcd, "node-b");
        await Promise.all([a.start(), b.start()]);
        const labels = { "k8s:app": "kept" };
        const id = await a.allocate(labels);
        await a.endpoints.apply([endpoint("web", 5)], []);
        await clear(etcd);
        await assertInSync(etcd, a, b);
        assertEquals(b.addresses.size, 2);
        assertEquals(b.identities.get(String(id)), { id, labels });
        // the late deletion of a pod whose address another node's has
        await b.endpoints.apply([endpoint("heir", 5)], []);
        await a.endpoints.apply([], [endpoint("web", 5)]);
        await assertInSync(etcd, a, b);
        await retry(() => assertEquals([podsOf(a), podsOf(b)], [["demo/heir"], ["demo/heir"]]));
        // the same within a node
        await b.endpoints.apply([endpoint("next", 5)], [endpoint("heir", 5)]);
        await assertInSync(etcd, a, b);
        await retry(() => assertEquals([podsOf(a), podsOf(b)], [["demo/next"], ["demo/next"]]));
      },
    );

    await t.step(
      "what a node published goes with its lease, and stays while it lives",
      async () => {
        await clear(etcd);
        await using b = storeOf(etcd, "node-b");
        await b.start();
        {
          await using a = storeOf(etcd, "node-a");
          await a.start();
          await a.endpoints.apply([endpoint("web", 5)], []);
          await until(() => b.addresses.size === 2);
          // longer than the lease
          await new Promise((resolve) => setTimeout(resolve, 4500));
          assertEquals(podsOf(b), ["demo/web"]);
        }
        await retry(() => assertEquals(podsOf(b), []));
      },
    );

    await t.step("a lease that was lost is made anew, with all that it had", async () => {
      await clear(etcd);
      await using a = storeOf(etcd, "node-a");
      await using b = storeOf(etcd, "node-b");
      await Promise.all([a.start(), b.start()]);
      await a.endpoints.apply([endpoint("web", 5)], []);
      const { leases } = await etcd.ask("/v3/lease/leases", {}) as { leases: { ID: string }[] };
      for (const { ID } of leases) await etcd.ask("/v3/lease/revoke", { ID });
      // nothing waits for the next look at the lease
      assertEquals((await a.endpoints.apply([endpoint("at-once", 7)], [])).failed, []);
      await a.allocate({ "k8s:app": "at-once" });
      await retry(async () => {
        const { leases = [] } = await etcd.ask("/v3/lease/leases", {}) as { leases: unknown[] };
        assertEquals(leases.length >= 1, true);
        assertEquals(Object.keys(await etcd.entries(ADDRESSES)).length, 4);
      });
      await assertInSync(etcd, a, b);
      await a.endpoints.apply([endpoint("later", 6)], []);
      await assertInSync(etcd, a, b);
      assertEquals(podsOf(b), ["demo/at-once", "demo/later", "demo/web"]);
    });

    await t.step(
      "connections that are cut lose nothing, and a compacted revision is a list",
      async () => {
        await clear(etcd);
        await using proxy = new TcpProxy(etcd.port);
        const access = () => ({ endpoints: [`http://127.0.0.1:${proxy.port}`] });
        await using a = storeOf(etcd, "node-a");
        await using b = storeOf(etcd, "node-b", { access });
        await Promise.all([a.start(), b.start()]);
        for (let i = 1; i <= 40; i++) {
          await a.endpoints.apply([endpoint(`cut-${i}`, i)], []);
          if (i % 3 === 0) await a.endpoints.apply([], [endpoint(`cut-${i}`, i)]);
          if (i % 2 === 0) proxy.cut();
          if (i % 10 === 0) {
            const { header } = await etcd.ask("/v3/kv/range", { key: btoa("x") }) as {
              header: { revision: string };
            };
            await etcd.ask("/v3/kv/compaction", { revision: header.revision });
          }
        }
        await assertInSync(etcd, a, b);
        assertEquals(b.addresses.size, 2 * 27);
      },
    );

    await t.step(
      "an etcd that is put back to an older state, or wiped, has what nodes have",
      async () => {
        await clear(etcd);
        await using a = storeOf(etcd, "node-a");
        await using b = storeOf(etcd, "node-b");
        await Promise.all([a.start(), b.start()]);
        await a.endpoints.apply([endpoint("first", 1)], []);
        await etcd.stop();
        etcd.copyState("data", "backup");
        await etcd.run();
        await a.endpoints.apply([endpoint("second", 2)], []);
        const id = await a.allocate({ "k8s:app": "late" });
        await assertInSync(etcd, a, b);
        await etcd.stop();
        await retry(() => assertMatch(String(a.staleness() ?? "refused"), /refused/));
        etcd.forgetState();
        etcd.copyState("backup", "data");
        await etcd.run();
        await retry(() => assertEquals(podsOf(b), ["demo/first", "demo/second"]));
        await assertInSync(etcd, a, b);
        assertEquals(b.identities.has(String(id)), true);
        await etcd.stop();
        etcd.forgetState();
        await etcd.run();
        await retry(() => assertEquals(podsOf(b), ["demo/first", "demo/second"]));
        await assertInSync(etcd, a, b);
      },
    );

    await t.step(
      "what others wrote there and is not as it must be is a problem of that key",
      async () => {
        await clear(etcd);
        await using a = storeOf(etcd, "node-a");
        await a.start();
        const key = `${ADDRESSES}10.0.0.1`;
        await etcd.ask("/v3/kv/put", { key: btoa(key), value: btoa("{}") });
        await until(() => a.problems.size === 1);
        assertStringIncludes(a.problems.rows()[0]!.message, "IP, HostIP and ID must be");
        await etcd.ask("/v3/kv/deleterange", { key: btoa(key) });
        await until(() => a.problems.size === 0);
      },
    );

    await t.step("who is not taken, or asks nobody, is told so", async () => {
      const dead = storeOf(etcd, "node-c", {
        access: () => ({ endpoints: [`http://127.0.0.1:${freePort()}`] }),
      });
      const starting = dead.start();
      await retry(() =>
        assertMatch(dead.staleness()!, /127.0.0.1:\d+ cannot be reached: .*refused/)
      );
      await assertRejects(() => dead.allocate({ "k8s:app": "a" }), Error, "cannot be reached");
      const { failed } = await dead.endpoints.apply([endpoint("web", 5)], []);
      assertStringIncludes(failed[0]!.error.message, "cannot be reached");
      await dead[Symbol.asyncDispose]();
      await starting;
      await etcd.ask("/v3/auth/user/add", { name: "root", password: "secret" });
      await etcd.ask("/v3/auth/user/grant", { user: "root", role: "root" });
      await etcd.ask("/v3/auth/enable", {});
      const denied = storeOf(etcd, "node-c");
      const trying = denied.start();
      await retry(() => assertMatch(denied.staleness()!, /a user that may read and write cilium/));
      await denied[Symbol.asyncDispose]();
      await trying;
    });
  },
});
