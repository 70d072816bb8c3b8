import { assertEquals } from "@std/assert";
import { addAddress } from "../../../datapath/net/address.ts";
import { parseCidr } from "../../../datapath/net/ip.ts";
import { createVeth, getLink, setLink } from "../../../datapath/net/link.ts";
import { NetlinkSocket } from "../../../datapath/net/netlink.ts";
import { createNamespace, deleteNamespace, openNamespace } from "../../../datapath/net/netns.ts";
import { replaceRoute } from "../../../datapath/net/route.ts";
import { Reconciler } from "../../core/reconciler.ts";
import { deriveDevices } from "../../sources/kernel/devices.ts";
import { KernelFacts } from "../../sources/kernel/kernel_facts.ts";
import { restoreRoutes } from "./restore_routes.ts";
import { type NodeRoute, routeTable, routeTarget } from "./route_target.ts";

/** Milliseconds that no test waits for. */
const NEVER = 1e8;

const FAMILIES = [
  { own: "192.168.60.1/24", via: "192.168.60.2", destination: "10.60.2.0/24" },
  { own: "fd00:60::1/64", via: "fd00:60::2", destination: "fd60:2::/64" },
];

Deno.test("restoreRoutes() sets them again when their device is up again, however long it was down", async () => {
  const directory = Deno.makeTempDirSync({ prefix: "pilus-routes-" });
  const path = `${directory}/node`;
  createNamespace(path);
  try {
    using namespace = openNamespace(path);
    using netlink = NetlinkSocket.open({ netns: namespace.fd });
    createVeth(netlink, { name: "eth0", mtu: 1500, peer: { name: "peer" } });
    setLink(netlink, "peer", { up: true });
    const { ifindex } = getLink(netlink, "eth0");
    const configure = async () => {
      setLink(netlink, ifindex, { up: true });
      // as by ifup: what is known of the device so far is not enough
      await new Promise((resolve) => setTimeout(resolve, 10));
      for (const { own } of FAMILIES) {
        const cidr = parseCidr(own);
        addAddress(netlink, { ifindex, cidr });
        replaceRoute(netlink, { destination: cidr, ifindex });
      }
    };
    await configure();
    await using facts = KernelFacts.open(namespace.fd);
    const { devices, ...derivation } = deriveDevices(facts, ["eth0"]);
    using _derivation = derivation;
    const desired = routeTable();
    desired.replace(FAMILIES.map(({ destination, via }) => ({ destination, ifindex, via })));
    const target = routeTarget(netlink);
    await using routing = new Reconciler<NodeRoute>({
      ...{ name: "routes", desired, target },
      ...{ repairIntervalMs: NEVER, minBackoffMs: NEVER, maxBackoffMs: NEVER },
    });
    await routing.start();
    using _restoring = restoreRoutes(routing, { facts, devices, tunnel: 0 });
    const there = () => [...target.read() ?? []].map(({ destination }) => destination).sort();
    const wanted = FAMILIES.map(({ destination }) => destination).sort();
    assertEquals(there(), wanted);

    setLink(netlink, ifindex, { up: false });
    assertEquals(there(), []);
    while (routing.status().errors === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    await configure();
    while (there().length < wanted.length) await new Promise((resolve) => setTimeout(resolve, 5));
    assertEquals(there(), wanted);
    // what is set may be known a moment later
    while (routing.status().errors > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  } finally {
    deleteNamespace(path);
    Deno.removeSync(directory);
  }
});
