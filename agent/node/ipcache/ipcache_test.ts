import { assertEquals } from "@std/assert";
import { formatCidr, formatIp, parseCidr, parseIp } from "../../../datapath/net/ip.ts";
import { type CidrIdentity, numberCidrs } from "../identity/cidr.ts";
import type { CiliumEndpoint, Node } from "../../kubernetes/resources.ts";
import { createResourceTables } from "../../kubernetes/resource_tables.ts";
import { settled } from "../../core/schedule.ts";
import { Table } from "../../core/table.ts";
import { deriveIpcache, localAddressTable } from "./ipcache.ts";
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

function published(name: string, ipv4: string, node: string): CiliumEndpoint {
  return {
    kind: "CiliumEndpoint",
    metadata: { name, namespace: "demo", labels: {} },
    status: {
      id: 1,
      identity: { id: 300, labels: [] },
      networking: { addressing: [{ ipv4 }], node },
    },
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

Deno.test("deriveIpcache() says what each address is, and a duplicate address stays with the first", async () => {
  const tables = createResourceTables();
  using nodes = deriveNodes(tables.Node, "node-a");
  const local = localAddressTable();
  const cidrs = new Table<CidrIdentity>({ name: "cidrs", key: ({ id }) => `${id}` });
  using derived = deriveIpcache({
    nodes: nodes.nodes,
    endpoints: tables.CiliumEndpoint,
    local,
    cidrs,
  });
  tables.Node.replace([node("node-a", 1), node("node-b", 2)]);
  local.set({ id: 7, pod: "demo/own", identity: 301, addresses: [parseIp("10.60.1.5")] });
  tables.CiliumEndpoint.replace([
    published("own", "10.60.1.5", "192.168.60.1"),
    published("far", "10.60.2.5", "192.168.60.2"),
    published("thief", "10.60.1.5", "192.168.60.2"),
    published("twin", "10.60.2.5", "192.168.60.2"),
  ]);
  cidrs.replace(numberCidrs(["10.0.0.0/8", "::/0", "10.60.2.5/32"].map(parseCidr)));
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
      "10.60.1.1 node 1 - -",
      "10.60.1.5 endpoint 301 - 7",
      "10.60.2.1 node 6 192.168.60.2 -",
      "10.60.2.5 remote 300 192.168.60.2 -",
      "192.168.60.1 node 1 - -",
      "192.168.60.2 node 6 - -",
      `::/0 cidr ${ofCidr.get("::/0")} - -`,
      "fd60:1::1 node 1 - -",
      "fd60:2::1 node 6 192.168.60.2 -",
      "fd60::1 node 1 - -",
      "fd60::2 node 6 - -",
    ].sort(),
  );
  assertEquals(derived.problems.rows().map(({ source, message }) => `${source}: ${message}`), [
    "Pod demo/thief: address 10.60.1.5 is of Pod demo/own already, which keeps it; change one",
    "Pod demo/twin: address 10.60.2.5 is of Pod demo/far already, which keeps it; change one",
  ]);
});
