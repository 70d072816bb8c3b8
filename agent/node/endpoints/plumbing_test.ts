import { assertEquals } from "@std/assert";
import { deleteAddress } from "../../../datapath/net/address.ts";
import { formatCidr, parseCidr } from "../../../datapath/net/ip.ts";
import { createVeth, getLink, setLink } from "../../../datapath/net/link.ts";
import { formatMac } from "../../../datapath/net/mac.ts";
import { NetlinkSocket } from "../../../datapath/net/netlink.ts";
import { createNamespace, deleteNamespace, openNamespace } from "../../../datapath/net/netns.ts";
import { listRoutes } from "../../../datapath/net/route.ts";
import type { Endpoint } from "../../api/endpoint.ts";
import { addRouterAddresses, repairHost } from "./plumbing.ts";

Deno.test("repairHost leaves routes whose router address is away, and sets them when it is back", () => {
  const directory = Deno.makeTempDirSync({ prefix: "pilus-plumbing-" });
  const path = `${directory}/netns`;
  createNamespace(path);
  try {
    using namespace = openNamespace(path);
    using host = NetlinkSocket.open({ netns: namespace.fd });
    createVeth(host, { name: "pod", mtu: 1500, peer: { name: "peer" } });
    for (const name of ["pod", "peer"]) setLink(host, name, { up: true });
    const { ifindex, mac } = getLink(host, "pod");
    const endpoint = {
      hostIfname: "pod",
      hostIfindex: ifindex,
      hostMac: formatMac(mac),
      podMac: "02:00:00:00:00:02",
      ipv4: "10.60.1.2",
      ipv6: "fd00:60:1::2",
    } as Endpoint;
    const router = { ipv4: "10.60.1.1", ipv6: "fd00:60:1::1" };
    const repair = () =>
      repairHost(host, [endpoint], { router, clusterCidrs: [], clusterMtu: 1500 });
    const routes = () =>
      listRoutes(host, { ifindex }).filter(({ source }) => source)
        .map(({ destination }) => formatCidr(destination)).sort();
    const lo = getLink(host, "lo").ifindex;

    for (const away of ["ipv4", "ipv6"] as const) {
      addRouterAddresses(host, router);
      const prefix = away === "ipv4" ? 32 : 128;
      deleteAddress(host, { ifindex: lo, cidr: parseCidr(`${router[away]}/${prefix}`) });
      repair();
      assertEquals(routes().includes(`${endpoint[away]}/${prefix}`), false);
      addRouterAddresses(host, router);
      repair();
      assertEquals(routes(), ["10.60.1.2/32", "fd00:60:1::2/128"]);
      assertEquals(repair(), 0);
    }
  } finally {
    deleteNamespace(path);
    Deno.removeSync(directory, { recursive: true });
  }
});
