import { assert, assertEquals, assertNotEquals } from "@std/assert";
import {
  BackendFlags,
  type Service,
  type ServiceKey,
} from "../../../../datapath/maps/generated.ts";
import { ServiceFlags } from "../../../../datapath/maps/generated.ts";
import { formatIp, parseIp } from "../../../../datapath/net/ip.ts";
import type { ClusterNode } from "../../../cluster/rows.ts";
import { settled } from "../../../core/schedule.ts";
import { Table } from "../../../core/table.ts";
import { setBackends } from "./backend_set.ts";
import { type Backend, packBackends } from "../backend.ts";
import { type Frontend, frontendKey } from "../frontend.ts";
import { deriveServiceRows, type ServiceRowOptions } from "./service_rows.ts";
import { ServiceNumbers } from "./service_numbers.ts";

function backend(ip: string, more: Partial<Backend> = {}): Backend {
  return { address: parseIp(ip), port: 8080, state: "active", weight: 1, local: false, ...more };
}

function frontend(ip: string, backends: Backend[], more: Partial<Frontend> = {}): Frontend {
  const list = packBackends(backends);
  const chosen = { order: "\0\x01\x02\x03".slice(0, list.length), count: list.length };
  return {
    namespace: "demo",
    name: "web",
    portName: "http",
    kind: "ClusterIP",
    address: parseIp(ip),
    port: 80,
    protocol: "TCP",
    affinityS: 0,
    forwarding: "snat",
    algorithm: "maglev",
    internalTrafficPolicy: "Cluster",
    externalTrafficPolicy: "Cluster",
    backends: list,
    internal: chosen,
    external: chosen,
    ...more,
  } as Frontend;
}

function derived(given: Frontend[], options: Partial<ServiceRowOptions> = {}) {
  const frontends = new Table<Frontend>({ name: "frontends", key: frontendKey });
  frontends.replace(given);
  const nodes = new Table<ClusterNode>({ name: "nodes", key: ({ name }) => name });
  nodes.replace([
    { name: "node-a", local: true, addresses: ["192.168.60.1", "fd00:60::1"].map(parseIp) },
    { name: "node-b", local: false, addresses: ["192.168.60.2"].map(parseIp) },
  ]);
  const tables = deriveServiceRows({ frontends, nodes }, {
    routing: "vxlan",
    clusterCidrs: ["10.60.0.0/16"],
    adopted: [],
    ...options,
  });
  return { frontends, nodes, ...tables };
}

Deno.test("a frontend's row has its sets, flags and number", async () => {
  const kept = backend("10.60.2.9", { state: "terminating" });
  const backends = [backend("10.60.2.1"), backend("10.60.1.1", { local: true }), kept];
  const { services } = derived([
    frontend("10.96.0.1", backends, {
      internal: { order: "\0\x01\x02", count: 2 },
    }),
    frontend("198.51.100.1", [backend("192.168.60.2")], {
      kind: "LoadBalancer",
      affinityS: 60,
      forwarding: "ipip",
      sourceRanges: ["198.51.100.0/24"],
    }),
  ]);
  await settled();
  const [internal, external] = services.rows();
  assertEquals([internal!.flags, internal!.maglev], [0, false]);
  assertEquals(internal!.sides[0].count, 2);
  assertEquals(
    setBackends(internal!.sides[0]).map(({ address, flags }) => [formatIp(address), flags]),
    [
      ["10.60.2.1", BackendFlags.TUNNEL],
      ["10.60.1.1", BackendFlags.LOCAL],
      ["10.60.2.9", BackendFlags.TUNNEL],
    ],
  );
  assertEquals(
    external!.flags,
    ServiceFlags.EXTERNAL | ServiceFlags.SOURCE_RANGES | ServiceFlags.DSR_IPIP,
  );
  assertEquals([external!.affinityS, external!.maglev], [60, true]);
  assertEquals(setBackends(external!.sides[1]).map(({ flags }) => flags), [0], "no pod, no tunnel");
  assertNotEquals(internal!.id, external!.id);
});

Deno.test("source ranges are of the frontend's family", async () => {
  const { sourceRanges } = derived([
    frontend("198.51.100.1", [], {
      kind: "LoadBalancer",
      sourceRanges: ["203.0.113.0/24", "2001:db8::/32", "203.0.113.7", "nonsense"],
    }),
  ]);
  await settled();
  assertEquals(
    sourceRanges.rows().map(({ key }) => [formatIp(key.address), key.prefixLength - 32]),
    [["203.0.113.0", 96 + 24], ["203.0.113.7", 128]],
  );
});

Deno.test("direct return may come from any node's port to a backend here", async () => {
  const local = backend("10.60.1.1", { local: true });
  const { dsrFrontends, nodes } = derived([
    frontend("192.168.60.1", [local, backend("10.60.2.1")], {
      kind: "NodePort",
      forwarding: "option",
      port: 30080,
    }),
    frontend("198.51.100.1", [local], { kind: "LoadBalancer", forwarding: "snat" }),
  ]);
  await settled();
  const asked = () => dsrFrontends.rows().map(({ key }) => formatIp(key.frontend)).sort();
  assertEquals(asked(), ["192.168.60.1", "192.168.60.2"]);
  assertEquals(dsrFrontends.rows()[0]!.value, 8080 >> 8 | (8080 & 0xff) << 8);
  nodes.delete("node-b");
  await settled();
  assertEquals(asked(), ["192.168.60.1"]);
});

Deno.test("addresses and frontends that this node answers follow the frontends", async () => {
  const here = frontend("10.96.0.1", [backend("192.168.60.1", { local: true })]);
  const same = { ...here, port: 81 };
  const { frontends, addresses, hostFrontends } = derived([here, same]);
  await settled();
  assertEquals(addresses.rows().map(({ address }) => formatIp(address)), ["10.96.0.1"]);
  assertEquals(hostFrontends.size, 2);
  frontends.delete(frontendKey(here));
  await settled();
  assertEquals([addresses.size, hostFrontends.size], [1, 1]);
  frontends.delete(frontendKey(same));
  await settled();
  assertEquals([addresses.size, hostFrontends.size], [0, 0]);
});

function row({ address, port }: Frontend, id: number): [ServiceKey, Service] {
  const side = { set: 0, count: 0, table: 0, total: 0 };
  return [{ address, port, protocol: 6 }, { id, flags: 0, affinityS: 0, side: [side, side] }];
}

Deno.test("ServiceNumbers: a port's frontends share a number, cluster addresses and external ones apart", () => {
  const numbers = new ServiceNumbers(() => []);
  const cluster = [frontend("10.96.0.1", []), frontend("fd60:96::1", [])];
  const external = [
    frontend("192.168.60.1", [], { kind: "NodePort", port: 30080 }),
    frontend("198.51.100.1", [], { kind: "LoadBalancer" }),
  ];
  assertEquals(new Set(cluster.map((f) => numbers.of(f))).size, 1);
  assertEquals(new Set(external.map((f) => numbers.of(f))).size, 1);
  assertNotEquals(numbers.of(cluster[0]!), numbers.of(external[0]!));
  assertNotEquals(
    numbers.of(cluster[0]!),
    numbers.of(frontend("10.96.0.1", [], { portName: "admin", port: 81 })),
  );
});

Deno.test("ServiceNumbers keeps what an agent before has given", () => {
  const [old, young] = [frontend("10.96.0.1", []), frontend("10.96.0.2", [], { name: "young" })];
  const numbers = new ServiceNumbers(() => []);
  numbers.adopt([row(old, 1), row(frontend("10.96.0.3", []), 2)]);
  // the first one does not get another's
  assertEquals(numbers.of(young), 3);
  assertEquals(numbers.of(old), 1);
});

Deno.test("ServiceNumbers takes numbers back when there are no others", () => {
  const live: Frontend[] = [];
  const numbers = new ServiceNumbers(() => live);
  const named = (i: number) => frontend("10.96.0.1", [], { name: `web-${i}` });
  const first = numbers.of(named(0));
  live.push(named(0));
  for (let i = 1; i < 65_535; i++) numbers.of(named(i));
  const again = numbers.of(named(65_535));
  assert(again !== first && again >= 1 && again <= 65_535);
  assertEquals(numbers.of(named(0)), first);
});
