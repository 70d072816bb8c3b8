import { assertEquals } from "@std/assert";
import { temporaryBpffs, temporaryVeth } from "./bpf/testdata/lab.ts";
import { Loader } from "./loader.ts";
import { getLink } from "./net/link.ts";
import { NetlinkSocket } from "./net/netlink.ts";

/** What the kernel frees it frees a little later. */
async function mode(netlink: NetlinkSocket, name: string, wanted: string): Promise<string> {
  for (let i = 0; i < 50 && getLink(netlink, name).xdp !== wanted; i++) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return getLink(netlink, name).xdp;
}

Deno.test("Loader puts XDP on devices, takes it off those that are the node's no more, and leaves nothing", async () => {
  using bpffs = temporaryBpffs();
  using first = temporaryVeth();
  using second = temporaryVeth();
  using netlink = NetlinkSocket.open();
  const path = `${bpffs.path}/pilus`;
  const options = {
    bpffs: path,
    routing: "native",
    masquerade: true,
    tunnelIfindex: 0,
    tunnelPort: 8472,
    mapSizes: { pilus_ct: 1024, pilus_nat: 1024, pilus_rules: 1024, pilus_ipcache: 1024 },
  } as const;
  {
    using loader = await Loader.load(options);
    for (const { ifindex, name } of [first, second]) {
      assertEquals(loader.attachXdpDevice(ifindex, name, "native").mode, "native");
    }
  }
  assertEquals(getLink(netlink, first.name).xdp, "native", "without the loader too");
  using loader = await Loader.load(options);
  loader.detachXdpDevicesExcept([first.name]);
  assertEquals(await mode(netlink, second.name, "none"), "none");
  assertEquals(loader.attachXdpDevice(first.ifindex, first.name, "native").mode, "native");
  Loader.removeAll(path);
  assertEquals(await mode(netlink, first.name, "none"), "none");
});
