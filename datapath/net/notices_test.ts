import { assert, assertEquals } from "@std/assert";
import { addAddress, deleteAddress } from "./address.ts";
import { formatCidr, parseCidr } from "./ip.ts";
import { createVeth, deleteLink, getLink, setLink } from "./link.ts";
import { NetlinkSocket } from "./netlink.ts";
import {
  createNamespace,
  deleteNamespace,
  inNamespace,
  openNamespace,
  writeSysctls,
} from "./netns.ts";
import { type Notice, Notices, parseNotices } from "./notices.ts";
import { deleteRoute, replaceRoute } from "./route.ts";

Deno.test("Notices names links, addresses, routes and sysctls that change, in order", async () => {
  const directory = Deno.makeTempDirSync({ prefix: "pilus-notices-" });
  const path = `${directory}/node`;
  createNamespace(path);
  try {
    using namespace = openNamespace(path);
    using netlink = NetlinkSocket.open({ netns: namespace.fd });
    const seen: string[] = [];
    let changed = Promise.withResolvers<void>();
    const until = async (text: string) => {
      while (!seen.includes(text)) {
        await changed.promise;
        changed = Promise.withResolvers();
      }
    };
    await using _notices = Notices.open({
      kinds: ["link", "address", "route", "netconf"],
      netns: namespace.fd,
      listener(notices) {
        seen.push(...notices.map(words));
        changed.resolve();
      },
    });
    createVeth(netlink, { name: "one", mtu: 1400, peer: { name: "two" } });
    setLink(netlink, "one", { up: true });
    await until("+link one");
    const { ifindex } = getLink(netlink, "one");
    const cidr = parseCidr("192.0.2.1/24");
    addAddress(netlink, { ifindex, cidr });
    await until("+address 192.0.2.1/24");
    const route = { destination: parseCidr("198.51.100.0/24"), ifindex };
    replaceRoute(netlink, route);
    await until("+route 198.51.100.0/24");
    deleteRoute(netlink, route);
    await until("-route 198.51.100.0/24");
    for (
      const [name, notice] of [
        ["ipv4/ip_forward", "netconf -1 forwarding 1"],
        ["ipv6/conf/one/forwarding", `netconf ${ifindex} forwarding 1`],
        ["ipv4/conf/one/rp_filter", `netconf ${ifindex} rp_filter 1`],
      ] as const
    ) {
      inNamespace(namespace.fd, () => writeSysctls([[name, "1"]]));
      await until(notice);
    }
    deleteAddress(netlink, { ifindex, cidr });
    await until("-address 192.0.2.1/24");
    deleteLink(netlink, "one");
    await until("-link one");
    assert(!seen.includes("overrun"), seen.join("\n"));
    assert(seen.indexOf("+link one") < seen.indexOf("+address 192.0.2.1/24"));
  } finally {
    deleteNamespace(path);
    Deno.removeSync(directory);
  }
});

function words(notice: Notice): string {
  switch (notice.kind) {
    case "link":
      return `${notice.gone ? "-" : "+"}link ${notice.link.name}`;
    case "address":
      return `${notice.gone ? "-" : "+"}address ${formatCidr(notice.address.cidr)}`;
    case "route":
      return `${notice.gone ? "-" : "+"}route ${formatCidr(notice.route.destination)}`;
    case "netconf": {
      const { ifindex, forwarding, rpFilter } = notice;
      const value = rpFilter === undefined ? `forwarding ${forwarding}` : `rp_filter ${rpFilter}`;
      return `netconf ${ifindex} ${value}`;
    }
  }
  return notice.kind;
}

Deno.test("parseNotices() takes whatever it cannot read for lost notices", () => {
  // random datagrams behind a plausible header, each length once
  let seed = 7;
  const next = () => seed = (seed * 1103515245 + 12345) & 0x7fffffff;
  const kinds = [16, 17, 20, 21, 24, 25, 80, 99];
  let overruns = 0;
  for (let length = 0; length < 2000; length++) {
    const bytes = Uint8Array.from({ length }, () => next() >> 8);
    if (length >= 16) {
      const view = new DataView(bytes.buffer);
      view.setUint32(0, length, true);
      view.setUint16(4, kinds[length % kinds.length]!, true);
      if (length > 16) bytes[16] = 0;
    }
    if (parseNotices(bytes).some(({ kind }) => kind === "overrun")) overruns++;
  }
  assert(overruns > 1000, `${overruns}`);
  assertEquals(parseNotices(new Uint8Array([1, 2, 3])), [{ kind: "overrun" }]);
});
