import { assert, assertEquals } from "@std/assert";
import { createVxlan, findLink, getLink } from "../../../datapath/net/link.ts";
import { NetlinkSocket } from "../../../datapath/net/netlink.ts";
import { createNamespace, deleteNamespace, openNamespace } from "../../../datapath/net/netns.ts";
import { TUNNEL_DEVICE } from "../config.ts";
import { ensureTunnel, raiseTunnel, removeTunnel, tunnelTarget } from "./tunnel.ts";

function withNamespace(test: (netlink: NetlinkSocket) => void): void {
  const directory = Deno.makeTempDirSync({ prefix: "pilus-tunnel-" });
  const path = `${directory}/node`;
  createNamespace(path);
  try {
    using namespace = openNamespace(path);
    using netlink = NetlinkSocket.open({ netns: namespace.fd });
    test(netlink);
  } finally {
    deleteNamespace(path);
    Deno.removeSync(directory);
  }
}

Deno.test("ensureTunnel() takes the device with its port, and makes one with another port anew", () => {
  withNamespace((netlink) => {
    const first = ensureTunnel(netlink, 8472, 1400);
    assertEquals(ensureTunnel(netlink, 8472, 1400), first);
    const other = ensureTunnel(netlink, 4789, 1400);
    assert(other !== first);
    assertEquals(getLink(netlink, TUNNEL_DEVICE).vxlanPort, 4789);
    raiseTunnel(netlink, 1400);
    const rows = (port: number) => [...tunnelTarget(netlink, other, port).read() ?? []];
    assertEquals(rows(4789), [{ ifindex: other, port: 4789, mtu: 1400 }]);
    assertEquals(rows(8472), []);
  });
});

Deno.test("removeTunnel() deletes the device of an agent that had one, and no other", () => {
  withNamespace((netlink) => {
    createVxlan(netlink, { name: "other", port: 4789, mtu: 1400 });
    removeTunnel(netlink);
    ensureTunnel(netlink, 8472, 1400);
    removeTunnel(netlink);
    assertEquals(findLink(netlink, TUNNEL_DEVICE), undefined);
    assert(findLink(netlink, "other"));
  });
});
