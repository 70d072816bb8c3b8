import { assertEquals } from "@std/assert";
import { FileStore } from "../../cluster/files/file_store.ts";
import type { Endpoint } from "../../api/endpoint.ts";
import { formatLabels } from "../../cluster/labels.ts";
import { settled } from "../../core/schedule.ts";
import { createResourceTables } from "../../kubernetes/resource_tables.ts";
import type { Pod } from "../../kubernetes/resources.ts";
import { endpointTable } from "../endpoints/endpoint_manager.ts";
import { EndpointIdentities, identifiedTable } from "./endpoint_identities.ts";

/** Longer than any test: what is held stays held. */
const FOR_EVER = 3_600_000;

function endpoint(id: number, names: Pick<Endpoint, "namespace" | "pod">): Endpoint {
  return {
    id,
    containerId: `c${id}`,
    ifname: "eth0",
    netns: `/run/netns/${id}`,
    netnsCookie: id,
    ...names,
    hostIfname: `lxc${id}`,
    hostIfindex: id,
    hostMac: "02:00:00:00:00:01",
    podMac: "02:00:00:00:00:02",
    ipv4: `10.0.0.${id}`,
    mtu: 1500,
    createdAt: "2026-11-27T00:00:00Z",
    state: "ready",
  };
}

const WEB: Pod = {
  kind: "Pod",
  metadata: { name: "web", namespace: "demo", labels: { app: "a" } },
};

/** Endpoints with their tables and a store of identities in a directory of its own. */
function place(holdMs: number) {
  const directory = Deno.makeTempDirSync({ prefix: "pilus-identities-" });
  const store = new FileStore({ directory, node: "node-a" });
  const tables = createResourceTables();
  const endpoints = endpointTable();
  const output = identifiedTable();
  const identities = new EndpointIdentities({
    endpoints,
    pods: tables.Pod,
    namespaces: tables.Namespace,
    output,
    allocator: store,
    onError: (_, error) => {
      throw error;
    },
    holdMs,
  });
  return {
    tables,
    endpoints,
    output,
    /** Numbers and short labels once all is settled. */
    async labels(): Promise<string[][]> {
      await identities.settled();
      await settled();
      return output.rows().map(({ labels }) =>
        formatLabels(labels).filter((text) => /^(reserved:|k8s:app|.*team)/.test(text))
      );
    },
    async [Symbol.asyncDispose]() {
      identities[Symbol.dispose]();
      await store[Symbol.asyncDispose]();
      Deno.removeSync(directory, { recursive: true });
    },
  };
}

Deno.test("EndpointIdentities makes an endpoint init before its Pod is known and after it has gone", async () => {
  await using p = place(0);
  p.endpoints.set(endpoint(1, { namespace: "demo", pod: "web" }));
  assertEquals(await p.labels(), [["reserved:init"]]);
  assertEquals(p.output.get("1")!.identity, 5);
  p.tables.Pod.set(WEB);
  assertEquals(await p.labels(), [["k8s:app=a"]]);
  p.tables.Pod.delete("demo/web");
  assertEquals(await p.labels(), [["reserved:init"]]);
});

Deno.test("EndpointIdentities holds the identity of an endpoint whose Pod moves, and of no new one", async () => {
  await using p = place(FOR_EVER);
  p.tables.Pod.set(WEB);
  p.endpoints.set(endpoint(1, { namespace: "demo", pod: "web" }));
  await p.labels();
  const before = p.output.get("1");
  p.tables.Pod.delete("demo/web");
  p.endpoints.set(endpoint(2, { namespace: "demo", pod: "web" }));
  assertEquals(await p.labels(), [["k8s:app=a"], ["reserved:init"]]);
  p.tables.Pod.set(WEB);
  assertEquals(await p.labels(), [["k8s:app=a"], ["k8s:app=a"]]);
  assertEquals(p.output.get("1"), before);
});

Deno.test("EndpointIdentities lets go of what it holds when the time is over", async () => {
  await using p = place(20);
  p.tables.Pod.set(WEB);
  p.endpoints.set(endpoint(1, { namespace: "demo", pod: "web" }));
  await p.labels();
  const { promise, resolve } = Promise.withResolvers<number>();
  using _watch = p.output.watch(() => resolve(p.output.get("1")!.identity));
  p.tables.Pod.delete("demo/web");
  assertEquals(await promise, 5);
});

Deno.test("EndpointIdentities makes what no manifest can describe unmanaged, whatever Pods there are", async () => {
  await using p = place(0);
  // podman gives a name without a namespace
  p.tables.Pod.set({ ...WEB, metadata: { ...WEB.metadata, namespace: "" } });
  const names = [["", ""], ["", "web"], ["demo", ""]] as const;
  for (const [i, [namespace, pod]] of names.entries()) {
    p.endpoints.set(endpoint(i + 1, { namespace, pod }));
  }
  assertEquals(await p.labels(), names.map(() => ["reserved:unmanaged"]));
  assertEquals(p.output.rows().map(({ identity }) => identity), [3, 3, 3]);
});

Deno.test("EndpointIdentities takes a namespace that no source has as one without labels", async () => {
  await using p = place(0);
  p.tables.Pod.set(WEB);
  p.endpoints.set(endpoint(1, { namespace: "demo", pod: "web" }));
  assertEquals(await p.labels(), [["k8s:app=a"]]);
  const metadata = { name: "demo", namespace: "", labels: { team: "x" } };
  p.tables.Namespace.set({ kind: "Namespace", metadata });
  assertEquals(await p.labels(), [[
    "k8s:app=a",
    "k8s:io.cilium.k8s.namespace.labels.team=x",
  ]]);
});
