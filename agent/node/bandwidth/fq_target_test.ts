/** Devices of one queue and of several in a namespace of their own. Where the kernel has no fq, it says so. */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { getLink } from "../../../datapath/net/link.ts";
import { NetlinkSocket } from "../../../datapath/net/netlink.ts";
import { createNamespace, deleteNamespace, openNamespace } from "../../../datapath/net/netns.ts";
import { listQdiscs, replaceQdisc } from "../../../datapath/net/qdisc.ts";
import { fqTarget, type PacedDevice, pacedTable } from "./fq_target.ts";

Deno.test("fqTarget() takes the place of what the kernel has put there alone, and gives it back", async () => {
  const directory = Deno.makeTempDirSync({ prefix: "pilus-queues-" });
  const path = `${directory}/netns`;
  createNamespace(path);
  try {
    using namespace = openNamespace(path);
    using netlink = NetlinkSocket.open({ netns: namespace.fd });
    const device = (name: string, queues: number): PacedDevice => {
      const words = `${name} numtxqueues ${queues} type veth peer name ${name}-peer`.split(" ");
      new Deno.Command("nsenter", { args: [`--net=${path}`, "ip", "link", "add", ...words] })
        .outputSync();
      return { name, ifindex: getLink(netlink, name).ifindex };
    };
    const one = device("one", 1), several = device("several", 4), others = device("others", 1);
    replaceQdisc(netlink, { ifindex: several.ifindex, kind: "mq", handle: 0 });
    replaceQdisc(netlink, { ifindex: others.ifindex, kind: "bfifo", handle: 0x1_0000 });
    const kinds = ({ ifindex }: PacedDevice) => listQdiscs(netlink, ifindex).map((q) => q.kind);
    const desired = pacedTable();
    desired.replace([one, several, others]);
    const target = fqTarget(netlink, desired, desired);
    assertEquals([...target.read()!], []);

    const { failed } = await target.apply([one, several, others], []);
    const reasons = new Map(failed.map(({ row, error }) => [row.name, error.message]));
    assertStringIncludes(reasons.get("others")!, "has the qdisc bfifo; make it fq");
    if (failed.length > 1) { // the kernel has none
      assertEquals(failed.length, 3);
      assertStringIncludes(reasons.get("one")!, "ENOENT");
      return;
    }
    assertEquals(kinds(one), ["fq"]);
    assertEquals(kinds(several).sort(), ["fq", "fq", "fq", "fq", "mq"]);
    assertEquals([...target.read()!].map(({ name }) => name), ["one", "several"]);
    await target.apply([], [one, several]);
    assertEquals([...kinds(one), ...kinds(several)].filter((kind) => kind === "fq"), []);
    assertEquals(kinds(others), ["bfifo"]);
    // what somebody else has chosen is not taken away
    replaceQdisc(netlink, { ifindex: one.ifindex, kind: "fq", handle: 0x2_0000 });
    assertEquals([...target.read()!].map(({ name }) => name), ["one"]);
    await target.apply([], [one]);
    assertEquals(kinds(one), ["fq"]);
  } finally {
    deleteNamespace(path);
    Deno.removeSync(directory);
  }
});
