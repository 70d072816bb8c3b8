import { assertEquals } from "@std/assert";
import { formatCidr, formatIp, parseCidr, parseIp } from "../../../datapath/net/ip.ts";
import type { Route } from "../../../datapath/net/route.ts";
import type { ClusterNode } from "../../cluster/rows.ts";
import { settled } from "../../core/schedule.ts";
import { Table } from "../../core/table.ts";
import { createResourceTables } from "../../kubernetes/resource_tables.ts";
import type { Node } from "../../kubernetes/resources.ts";
import type { NodeDevice } from "../../sources/kernel/devices.ts";
import { deriveLoneNode } from "./lone_node.ts";
import { deriveNodes } from "./nodes.ts";
import { podNetworks } from "./pod_networks.ts";
import { collidingRoute } from "./route_collision.ts";
import { ROUTE_PROTOCOL } from "./route_target.ts";

const CIDRS = ["10.222.0.0/24", "fd70:696c:7573::/64"];

function manifest(name: string, cidr: string): Node {
  return {
    kind: "Node",
    metadata: { name, namespace: "", labels: {} },
    spec: { podCIDRs: [cidr] },
    status: { addresses: [{ type: "InternalIP", address: "192.168.60.9" }] },
  };
}

function shown({ name, ipv4, ipv6, routerIpv4, routerIpv6 }: ClusterNode): string {
  return [name, ...[ipv4, ipv6, routerIpv4, routerIpv6].map((ip) => ip ? formatIp(ip) : "-")]
    .join(" ");
}

Deno.test("a host alone has its devices' addresses; a manifest of its name comes before", async () => {
  const devices = new Table<NodeDevice>({ name: "devices", key: ({ name }) => name });
  const { Node } = createResourceTables();
  using lone = deriveLoneNode(devices, "laptop");
  using tables = deriveNodes(Node, "laptop", lone.nodes);
  const { nodes, problems } = tables;
  const rows = async () => {
    await settled();
    return nodes.rows().map(shown);
  };
  const faults = () => problems.rows().map(({ source, message }) => `${source} ${message}`);
  const device = { name: "wlan0", ifindex: 2, mtu: 1500, mac: "02:00:00:00:00:01" };

  devices.set({ ...device, ipv4: "192.0.2.7" });
  assertEquals(await rows(), []);
  lone.begin(CIDRS);
  assertEquals(await rows(), ["laptop 192.0.2.7 - 10.222.0.1 fd70:696c:7573::1"]);
  devices.set({ ...device, ipv4: "198.51.100.4", ipv6: "2001:db8::4" });
  assertEquals(await rows(), ["laptop 198.51.100.4 2001:db8::4 10.222.0.1 fd70:696c:7573::1"]);
  devices.delete("wlan0");
  const routers = "10.222.0.1 fd70:696c:7573::1";
  assertEquals(await rows(), [`laptop ${routers} ${routers}`]);
  assertEquals(faults(), []);

  Node.set(manifest("other", "10.60.2.0/24"));
  assertEquals((await rows()).length, 2);
  assertEquals(faults(), [
    "Node laptop has no manifest, so that other nodes (other) do not know it: write one",
  ]);
  Node.set(manifest("laptop", "10.60.1.0/24"));
  assertEquals((await rows()).sort(), [
    "laptop 192.168.60.9 - 10.60.1.1 -",
    "other 192.168.60.9 - 10.60.2.1 -",
  ]);
  assertEquals(faults(), []);
});

const COLLISIONS: [route: Partial<Route> & { to: string }, collides: boolean][] = [
  [{ to: "10.222.0.0/24" }, true],
  [{ to: "10.222.0.128/25" }, true],
  [{ to: "10.222.0.9/32", type: "local", table: 255 }, true],
  [{ to: "10.0.0.0/8", table: 51820 }, true],
  [{ to: "fd70:696c::/32" }, true],
  [{ to: "10.222.1.0/24" }, false],
  [{ to: "0.0.0.0/0" }, false],
  [{ to: "0.0.0.0/1" }, false],
  [{ to: "::/0" }, false],
  [{ to: "10.0.0.0/8", type: "unreachable" }, false],
  [{ to: "10.222.0.0/24", type: "unreachable", protocol: ROUTE_PROTOCOL }, false],
  [{ to: "10.222.0.1/32", type: "local", table: 255 }, false],
  [{ to: "10.222.0.7/32", source: parseIp("10.222.0.1") }, false],
];

Deno.test("routes of the host collide with pod CIDRs where somebody would be hidden", () => {
  for (const [{ to, ...rest }, collides] of COLLISIONS) {
    const route: Route = { destination: parseCidr(to), type: "unicast", ...rest };
    const found = collidingRoute(podNetworks(CIDRS), [route]);
    assertEquals(found && formatCidr(found.route.destination), collides ? to : undefined, to);
  }
});
