import { assertEquals, assertStringIncludes } from "@std/assert";
import { cidrAddress, parseCidr, parseIp } from "../../datapath/net/ip.ts";
import { settled } from "../core/schedule.ts";
import { Table } from "../core/table.ts";
import { createResourceTables } from "../kubernetes/resource_tables.ts";
import { remoteAddressTable } from "./cluster_store.ts";
import type { ClusterNode, RemoteAddress } from "./rows.ts";
import { deriveTrustedAddresses } from "./trusted_addresses.ts";

function node(name: string, number: number): ClusterNode {
  const podCidrIpv4 = parseCidr(`10.60.${number}.0/24`);
  const podCidrIpv6 = parseCidr(`fd60:${number}::/64`);
  return {
    name,
    local: false,
    ipv4: parseIp(`192.168.60.${number}`),
    addresses: [parseIp(`192.168.60.${number}`)],
    ...{ podCidrIpv4, podCidrIpv6 },
    routerIpv4: cidrAddress(podCidrIpv4, 1),
    routerIpv6: cidrAddress(podCidrIpv6, 1),
  };
}

const CLAIM: RemoteAddress = {
  prefix: "10.60.2.5",
  identity: 300,
  node: "192.168.60.2",
  key: 0,
  cluster: "default",
  pod: "demo/b1",
  labels: {},
  namedPorts: [],
  ready: true,
};

const HOLD_MS = 100;

function place({ knowsAllPods = true } = {}) {
  const addresses = remoteAddressTable(), { Pod: pods } = createResourceTables();
  const nodes = new Table<ClusterNode>({ name: "nodes", key: ({ name }) => name });
  for (const [i, name] of ["a", "b"].entries()) nodes.set(node(name, i + 1));
  const metadata = { name: "b1", namespace: "demo", labels: {} };
  pods.set({ kind: "Pod", metadata, spec: { nodeName: "b" } });
  const trusted = deriveTrustedAddresses({
    addresses,
    nodes,
    pods,
    nodeName: "a",
    holdMs: HOLD_MS,
    knowsAllPods,
  });
  return { addresses, pods, nodes, trusted };
}

const GOOD: Partial<RemoteAddress>[] = [
  {},
  { prefix: "fd60:2::5" },
  { identity: 256 },
  { identity: 65535 },
  { identity: 5 },
  { pod: "demo/unknown" },
];

const BAD: [Partial<RemoteAddress>, string][] = [
  ...[
    ...["10.60.1.5", "8.8.8.8", "192.168.60.2", "192.168.60.254", "169.254.169.254", "127.0.0.1"],
    ...["0.0.0.0", "255.255.255.255", "10.60.2.1", "fd60:2::1", "::1", "fd60:1::5"],
  ].map((prefix): [Partial<RemoteAddress>, string] => [
    { prefix },
    "is not among the addresses for pods of Node b",
  ]),
  ...[0, 1, 2, 4, 6, 255, 65536, 16_777_217, 4_294_967_295].map((
    identity,
  ): [Partial<RemoteAddress>, string] => [{ identity }, "is not among 256 to 65535"]),
  [{ node: "192.168.60.66" }, "do not count: 192.168.60.66 is the InternalIP of no Node"],
  [
    { node: "192.168.60.1", prefix: "10.60.1.5" },
    "Pod demo/b1 is of Node b, and Node a has published it",
  ],
];

for (const change of GOOD) {
  Deno.test(`a published address counts with ${JSON.stringify(change)}`, async () => {
    const { addresses, trusted } = place();
    using _ = trusted;
    addresses.set({ ...CLAIM, ...change });
    await settled();
    assertEquals(trusted.addresses.rows(), addresses.rows());
    assertEquals(trusted.problems.rows(), []);
  });
}

for (const [change, message] of BAD) {
  Deno.test(`a published address does not count with ${JSON.stringify(change)}`, async () => {
    const { addresses, trusted } = place();
    using _ = trusted;
    addresses.set({ ...CLAIM, ...change });
    await settled();
    assertEquals(trusted.addresses.rows(), []);
    assertStringIncludes(trusted.problems.rows().map((row) => row.message).join(), message);
  });
}

/** The addresses that count when nothing changes any more, and what is wrong with the others. */
async function atRest({ trusted }: ReturnType<typeof place>): Promise<string[]> {
  await new Promise((resolve) => setTimeout(resolve, HOLD_MS * 2));
  await settled();
  return [
    ...trusted.addresses.rows().map(({ pod }) => pod),
    ...trusted.problems.rows().map(({ message }) => message),
  ].sort();
}

const GONE =
  "10.60.2.5 does not count: no source has Pod demo/b1, and Node b has not taken it back: " +
  "is its agent down?";

Deno.test("what is published of a Pod that has gone does not count, as long as it is not taken back", async () => {
  const here = place();
  using _ = here.trusted;
  const { addresses, pods } = here;
  const pod = pods.get("demo/b1")!;
  const other: typeof pod = { ...pod, metadata: { ...pod.metadata, name: "b2" } };
  addresses.set(CLAIM);
  pods.set(other);
  assertEquals(await atRest(here), ["demo/b1"]);
  pods.delete("demo/b1");
  await settled();
  assertEquals(here.trusted.addresses.size, 1, "a Pod that moves");
  assertEquals(await atRest(here), [GONE]);
  pods.set(pod);
  await settled();
  assertEquals(here.trusted.addresses.size, 1, "a Pod that is back");
  pods.delete("demo/b1");
  assertEquals(await atRest(here), [GONE]);
  addresses.set({ ...CLAIM, identity: 5 });
  assertEquals(await atRest(here), ["demo/b1"], "init");
  addresses.set(CLAIM);
  await atRest(here);
  addresses.delete(addresses.keyOf(CLAIM));
  assertEquals(await atRest(here), []);
});

Deno.test("sources without Pods of other nodes know nothing of those, until there is one", async () => {
  const here = place();
  using _ = here.trusted;
  const { addresses, pods } = here;
  const pod = pods.get("demo/b1")!;
  pods.delete("demo/b1");
  pods.set({ ...pod, metadata: { ...pod.metadata, name: "own" }, spec: { nodeName: "a" } });
  addresses.set(CLAIM);
  assertEquals(await atRest(here), ["demo/b1"]);
  pods.set({ ...pod, metadata: { ...pod.metadata, name: "b2" } });
  assertEquals(await atRest(here), [GONE]);
});

Deno.test("sources that have not all Pods know nothing of those they do not have", async () => {
  const here = place({ knowsAllPods: false });
  using _ = here.trusted;
  const { addresses, pods } = here;
  // one of another node's Pods, of the manifests
  pods.set({ ...pods.get("demo/b1")!, metadata: { name: "b2", namespace: "demo", labels: {} } });
  pods.delete("demo/b1");
  addresses.set(CLAIM);
  assertEquals(await atRest(here), ["demo/b1"]);
});

Deno.test("deriveTrustedAddresses() follows nodes and pods", async () => {
  const { addresses, nodes, pods, trusted } = place();
  using _ = trusted;
  addresses.set(CLAIM);
  const count = async () => {
    await settled();
    return [trusted.addresses.size, trusted.problems.size];
  };
  assertEquals(await count(), [1, 0]);
  nodes.delete("b");
  assertEquals(await count(), [0, 1]);
  nodes.set(node("b", 2));
  assertEquals(await count(), [1, 0]);
  const pod = pods.get("demo/b1")!;
  pods.set({ ...pod, spec: { nodeName: "a" } });
  assertEquals(await count(), [0, 1]);
  pods.delete("demo/b1");
  assertEquals(await count(), [1, 0]);
  addresses.delete(addresses.keyOf(CLAIM));
  assertEquals(await count(), [0, 0]);
});
