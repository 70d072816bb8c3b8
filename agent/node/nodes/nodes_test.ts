import { assertEquals } from "@std/assert";
import { formatCidr } from "../../../datapath/net/ip.ts";
import { settled } from "../../core/schedule.ts";
import { createResourceTables } from "../../kubernetes/resource_tables.ts";
import { deriveNodes } from "./nodes.ts";
import { podCidrsOf } from "./pod_networks.ts";

const everywhere = (cidr: string) =>
  `podCIDR ${cidr} is no prefix for pods: it is shorter than /8, and others are in it`;

const CLAIMS: [what: string, podCIDRs: string[], counted: string[], said: string[]][] = [
  ["prefixes for pods", ["10.0.0.0/8", "fd60:1::/64"], ["10.0.0.0/8", "fd60:1::/64"], []],
  ["all of IPv4", ["0.0.0.0/0", "fd60:1::/64"], ["fd60:1::/64"], [everywhere("0.0.0.0/0")]],
  ["half of IPv4", ["10.60.1.0/24", "128.0.0.0/1"], ["10.60.1.0/24"], [everywhere("128.0.0.0/1")]],
  ["all of IPv6", ["10.60.1.0/24", "::/0"], ["10.60.1.0/24"], [everywhere("::/0")]],
  ["a tenth of IPv6", ["2000::/3", "10.60.1.0/24"], ["10.60.1.0/24"], [everywhere("2000::/3")]],
  ["the other node", ["192.168.0.0/16"], ["192.168.0.0/16"], [
    "podCIDR 192.168.0.0/16 has the address 192.168.60.1 of Node here, and 1 more of nodes",
  ]],
];

for (const [what, podCIDRs, counted, said] of CLAIMS) {
  Deno.test(`a Node that claims ${what} for its pods`, async () => {
    const { Node } = createResourceTables();
    using tables = deriveNodes(Node, "here");
    const add = (name: string, address: string, podCIDRs: string[]) =>
      Node.set({
        kind: "Node",
        metadata: { name, namespace: "", labels: {} },
        spec: { podCIDRs },
        status: { addresses: [{ type: "InternalIP", address }] },
      });
    add("here", "192.168.60.1", ["172.16.0.0/24"]);
    add("there", "192.168.60.2", podCIDRs);
    await settled();
    assertEquals(podCidrsOf(tables.nodes.get("there")!).map(formatCidr), counted);
    assertEquals(tables.problems.rows().map(({ message }) => message), said);
  });
}
