import { assertEquals, assertRejects } from "@std/assert";
import { KernelError } from "../../../datapath/bpf/kernel_error.ts";
import { createVeth, listLinks } from "../../../datapath/net/link.ts";
import { NetlinkSocket } from "../../../datapath/net/netlink.ts";
import { createNamespace, deleteNamespace, openNamespace } from "../../../datapath/net/netns.ts";
import { DeviceDeletions } from "./device_deletions.ts";

Deno.test("DeviceDeletions deletes what is asked for, together too, and nothing else", async () => {
  const directory = Deno.makeTempDirSync({ prefix: "pilus-deletions-" });
  const path = `${directory}/netns`;
  createNamespace(path);
  try {
    using namespace = openNamespace(path);
    using netlink = NetlinkSocket.open({ netns: namespace.fd });
    using deletions = new DeviceDeletions(namespace.fd);
    const names = () => listLinks(netlink).map(({ name }) => name).sort();
    const make = (count: number) => {
      for (let i = 0; i < count; i++) {
        createVeth(netlink, { name: `pod${i}`, mtu: 1500, peer: { name: `peer${i}` } });
      }
    };
    const own = names();
    make(6);
    // the first goes alone, the others wait for it
    assertEquals(
      await Promise.all(
        ["pod0", "pod1", "pod2", "none", "pod3", "pod3", "pod4"].map((name) =>
          deletions.delete(name)
        ),
      ),
      [true, true, true, false, true, true, true],
    );
    assertEquals(names(), [...own, "peer5", "pod5"].sort());
    assertEquals(await deletions.delete("pod5"), true);
    assertEquals(await deletions.delete("pod5"), false);

    // one that cannot be deleted is no other's failure
    make(4);
    const first = deletions.delete("pod0"), lo = deletions.delete("lo");
    const others = [1, 2, 3].map((i) => deletions.delete(`pod${i}`));
    await assertRejects(() => lo, KernelError);
    assertEquals(await Promise.all([first, ...others]), [true, true, true, true]);
    assertEquals(names(), own);
  } finally {
    deleteNamespace(path);
    Deno.removeSync(directory, { recursive: true });
  }
});
