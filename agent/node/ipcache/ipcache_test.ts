import { assertEquals } from "@std/assert";
import type { LinkAddress } from "../../../datapath/net/address.ts";
import { formatCidr, formatIp, parseCidr, parseIp } from "../../../datapath/net/ip.ts";
import { remoteAddressTable } from "../../cluster/cluster_store.ts";
import type { ClusterNode, RemoteAddress } from "../../cluster/rows.ts";
import type { CidrIdentity } from "../identity/cidr.ts";
import { numberCidrs } from "../identity/testdata/number_cidrs.ts";
import type { Node } from "../../kubernetes/resources.ts";
import { createResourceTables } from "../../kubernetes/resource_tables.ts";
import { settled } from "../../core/schedule.ts";
import { Table } from "../../core/table.ts";
import { deriveIpcache, localAddressTable } from "./ipcache.ts";
import { deriveOwnAddresses, type OwnAddress } from "./own_addresses.ts";
import { apiServerTable } from "../policy/api_servers.ts";
import { deriveNodes } from "../nodes/nodes.ts";

function node(name: string, last: number): Node {
  return {
    kind: "Node",
    metadata: { name, namespace: "", labels: {} },
    spec: { podCIDRs: [`10.60.${last}.0/24`, `fd60:${last}::/64`] },
    status: {
      addresses: [
        { type: "InternalIP", address: `192.168.60.${last}` },
        { type: "InternalIP", address: `fd60::${last}` },
        { type: "Hostname", address: name },
      ],
    },
  };
}

function published(name: string, prefix: string, node: string, identity = 300): RemoteAddress {
  return {
    prefix,
    identity,
    node,
    key: 0,
    cluster: "default",
    pod: `demo/${name}`,
    labels: {},
    namedPorts: [],
    ready: true,
  };
}

Deno.test("deriveNodes() finds addresses, pod CIDRs and routers, and reports overlaps", async () => {
  const tables = createResourceTables();
  using nodes = deriveNodes(tables.Node, "node-a");
  tables.Node.replace([node("node-a", 1), node("node-b", 2)]);
  await settled();
  const b = nodes.nodes.get("node-b")!;
  assertEquals([b.local, nodes.nodes.get("node-a")!.local], [false, true]);
  assertEquals(
    [b.ipv4, b.ipv6, b.routerIpv4, b.routerIpv6].map((ip) => formatIp(ip!)),
    ["192.168.60.2", "fd60::2", "10.60.2.1", "fd60:2::1"],
  );
  assertEquals(nodes.problems.rows(), []);
  tables.Node.set({
    kind: "Node",
    metadata: node("bad", 0).metadata,
    spec: { podCIDR: "10.60.0.0/16" },
  });
  await settled();
  assertEquals(nodes.problems.rows().map(({ source, message }) => `${source} ${message}`), [
    "Node bad has no InternalIP, so its pods cannot be reached",
    "Node bad podCIDR 10.60.0.0/16 overlaps 10.60.1.0/24 of Node node-a",
  ]);
});

/** What the stack takes as its own when devices have these. */
function ownAddresses(...cidrs: string[]) {
  const addresses = new Table<LinkAddress>({
    name: "addresses",
    key: ({ cidr }) => formatCidr(cidr),
  });
  addresses.replace(
    cidrs.map((cidr) => ({
      ifindex: 2,
      cidr: parseCidr(cidr),
      scope: 0,
      tentative: false,
      deprecated: false,
      secondary: false,
    })),
  );
  return deriveOwnAddresses(addresses);
}

Deno.test("deriveIpcache() says what each address is, and a duplicate address stays with the first", async () => {
  const tables = createResourceTables();
  using nodes = deriveNodes(tables.Node, "node-a");
  const local = localAddressTable();
  const addresses = remoteAddressTable();
  const cidrs = new Table<CidrIdentity>({ name: "cidrs", key: ({ id }) => `${id}` });
  const apiServers = apiServerTable();
  using facts = ownAddresses(
    "192.168.60.1/24",
    "172.17.0.1/16",
    "fd60::1/64",
    "fe80::1/64",
    "127.0.0.1/8",
  );
  using derived = deriveIpcache({
    nodes: nodes.nodes,
    own: facts.own,
    addresses,
    local,
    cidrs,
    apiServers,
  });
  tables.Node.replace([node("node-a", 1), node("node-b", 2)]);
  local.set({ id: 7, pod: "demo/own", identity: 301, addresses: [parseIp("10.60.1.5")] });
  addresses.replace([
    published("own", "10.60.1.5", "192.168.60.1"),
    published("far", "10.60.2.5", "192.168.60.2"),
    published("thief", "10.60.1.5", "192.168.60.2"),
    published("twin", "10.60.2.5", "192.168.60.2"),
  ]);
  // what policies say of addresses of pods makes them no part of the world
  const ofPolicies = ["10.0.0.0/8", "::/0", "10.60.2.5/32", "10.60.2.6/32", "10.60.2.128/25"];
  cidrs.replace(numberCidrs([...ofPolicies, "fd60:2::/64"].map(parseCidr)));
  await settled();
  const ofCidr = new Map(cidrs.rows().map(({ id, cidr }) => [formatCidr(cidr), id]));
  assertEquals(
    derived.ipcache.rows().map(({ prefix, identity, kind, tunnel, endpointId }) =>
      [prefix, kind, identity, tunnel ? formatIp(tunnel) : "-", endpointId ?? "-"].join(
        " ",
      )
    ).sort(),
    [
      `0.0.0.0/0 cidr 9 - -`,
      `10.0.0.0/8 cidr ${ofCidr.get("10.0.0.0/8")} - -`,
      "10.60.1.0/24 vacant 3 - -",
      "10.60.2.0/24 vacant 3 - -",
      "10.60.2.6 vacant 3 - -",
      "10.60.2.128/25 vacant 3 - -",
      "fd60:1::/64 vacant 3 - -",
      "fd60:2::/64 vacant 3 - -",
      "10.60.1.1 node 1 - -",
      "10.60.1.5 endpoint 301 - 7",
      "10.60.2.1 node 6 192.168.60.2 -",
      "10.60.2.5 remote 300 192.168.60.2 -",
      "172.17.0.0 node 1 - -",
      "172.17.0.1 node 1 - -",
      "172.17.255.255 node 1 - -",
      "192.168.60.0 node 1 - -",
      "192.168.60.1 node 1 - -",
      "192.168.60.255 node 1 - -",
      "192.168.60.2 node 6 - -",
      `::/0 cidr ${ofCidr.get("::/0")} - -`,
      "fd60:1::1 node 1 - -",
      "fd60:2::1 node 6 192.168.60.2 -",
      "fd60:: node 1 - -",
      "fd60::1 node 1 - -",
      "fd60::2 node 6 - -",
    ].sort(),
  );
  assertEquals(derived.problems.rows().map(({ source, message }) => `${source}: ${message}`), [
    "Pod demo/thief: address 10.60.1.5 is of Pod demo/own already, which keeps it; change one",
    "Pod demo/twin: address 10.60.2.5 is of Pod demo/far already, which keeps it; change one",
  ]);
});

/** mulberry32: the same numbers for the same seed. */
function random(seed: number): (below: number) => number {
  return (below) => {
    seed = seed + 0x6d2b79f5 | 0;
    let t = Math.imul(seed ^ seed >>> 15, 1 | seed);
    t = t + Math.imul(t ^ t >>> 7, 61 | t) ^ t;
    return ((t ^ t >>> 14) >>> 0) % below;
  };
}

function inputs() {
  return {
    nodes: new Table<ClusterNode>({ name: "nodes", key: ({ name }) => name }),
    addresses: remoteAddressTable(),
    local: localAddressTable(),
    cidrs: new Table<CidrIdentity>({ name: "cidrs", key: ({ id }) => `${id}` }),
    apiServers: apiServerTable(),
    own: new Table<OwnAddress>({ name: "own", key: ({ address }) => formatIp(address) }),
  };
}

/** Few addresses and names, so that there are conflicts. */
function changeOne(
  { nodes, addresses, local, cidrs, own, apiServers }: ReturnType<typeof inputs>,
  pick: (below: number) => number,
) {
  const address = () => `10.60.${pick(2)}.${pick(6)}`;
  const nodeAddress = () => `10.60.${pick(2)}.${pick(3)}`;
  const gone = pick(3) === 0;
  const drop = <Row>(table: Table<Row>) => {
    const keys = table.keys();
    if (keys.length > 0) table.delete(keys[pick(keys.length)]!);
  };
  switch (pick(6)) {
    case 5:
      if (gone) return drop(own);
      own.set({ address: parseIp(address()) });
      break;
    case 0: {
      if (gone) return drop(nodes);
      const [ip, router] = [parseIp(nodeAddress()), parseIp(nodeAddress())];
      const name = `node-${pick(3)}`;
      const local = name === "node-0";
      nodes.set({
        name,
        local,
        addresses: [ip],
        ipv4: ip,
        ...(pick(2) ? { routerIpv4: router } : {}),
        ...(pick(2) ? { podCidrIpv4: parseCidr(`10.60.${pick(2)}.0/${[24, 29][pick(2)]}`) } : {}),
      });
      break;
    }
    case 1:
      if (gone) return drop(local);
      local.set({
        id: pick(3),
        pod: `demo/own-${pick(3)}`,
        identity: 300 + pick(2),
        addresses: Array.from({ length: 1 + pick(2) }, () => parseIp(address())),
      });
      break;
    case 2:
      if (gone) return drop(addresses);
      addresses.set(published(`pod-${pick(4)}`, address(), nodeAddress(), 300 + pick(2)));
      break;
    case 3:
      if (gone) return drop(apiServers);
      apiServers.set({ address: address(), at: pick(2) ? "node" : "world" });
      break;
    case 4:
      if (gone) return drop(cidrs);
      for (
        const row of numberCidrs(
          [["::/0", "10.0.0.0/8", "0.0.0.0/0", "10.60.1.0/28", `${address()}/32`][pick(5)]!]
            .map(parseCidr),
        )
      ) {
        cidrs.set(row);
      }
  }
}

Deno.test("deriveIpcache() by difference is what it is from scratch, under random changes", async () => {
  const seed = Date.now() % 1_000_000;
  const pick = random(seed);
  const tables = inputs();
  using derived = deriveIpcache(tables);
  for (let round = 0; round < 300; round++) {
    for (let i = pick(4); i >= 0; i--) changeOne(tables, pick);
    await settled();
    const copies = inputs();
    copies.nodes.replace(tables.nodes.rows());
    copies.own.replace(tables.own.rows());
    copies.local.replace(tables.local.rows());
    copies.addresses.replace(tables.addresses.rows());
    copies.cidrs.replace(tables.cidrs.rows());
    copies.apiServers.replace(tables.apiServers.rows());
    using fresh = deriveIpcache(copies);
    await settled();
    const shown = ({ ipcache, problems }: typeof fresh) => ({
      rows: new Map(ipcache.keys().sort().map((key) => [key, ipcache.get(key)])),
      problems: problems.keys().sort(),
    });
    assertEquals(shown(derived), shown(fresh), `seed ${seed}, round ${round}`);
  }
});
