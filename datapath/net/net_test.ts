import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { isErrno, KernelError } from "../bpf/kernel_error.ts";
import { addAddress, deleteAddress, listAddresses } from "./address.ts";
import { formatCidr, formatIp, parseCidr, parseIp } from "./ip.ts";
import {
  createVeth,
  createVxlan,
  deleteLink,
  findLink,
  getLink,
  IFF_NOARP,
  IFF_UP,
  listLinks,
  setLink,
} from "./link.ts";
import { formatMac, parseMac } from "./mac.ts";
import { listNeighbours, replaceNeighbour } from "./neighbour.ts";
import { NetlinkSocket } from "./netlink.ts";
import { NetlinkBody, parseAttributes, parseMessages } from "./netlink_message.ts";
import {
  createNamespace,
  currentNamespace,
  deleteNamespace,
  inNamespace,
  namespaceId,
  openNamespace,
  readSysctl,
  writeSysctls,
} from "./netns.ts";
import { deleteRoute, listRoutes, replaceRoute } from "./route.ts";

/** Two throw-away namespaces with a socket in each. */
class Pair implements Disposable {
  readonly directory = Deno.makeTempDirSync({ prefix: "pilus-net-" });
  readonly hostPath = `${this.directory}/host`;
  readonly podPath = `${this.directory}/pod`;
  readonly host: NetlinkSocket;
  readonly pod: NetlinkSocket;

  constructor() {
    createNamespace(this.hostPath);
    createNamespace(this.podPath);
    this.host = Pair.#socket(this.hostPath);
    this.pod = Pair.#socket(this.podPath);
  }

  static #socket(path: string): NetlinkSocket {
    using namespace = openNamespace(path);
    return NetlinkSocket.open({ netns: namespace.fd });
  }

  /** A veth from the host to eth0 in the pod, both up. */
  veth(name = "plx0"): { host: number; pod: number } {
    using namespace = openNamespace(this.podPath);
    const peer = { name: "eth0", mac: parseMac("02:00:00:00:00:02"), netns: namespace.fd };
    createVeth(this.host, { name, mac: parseMac("02:00:00:00:00:01"), mtu: 1450, peer });
    setLink(this.host, name, { up: true });
    setLink(this.pod, "eth0", { up: true });
    return { host: getLink(this.host, name).ifindex, pod: getLink(this.pod, "eth0").ifindex };
  }

  [Symbol.dispose](): void {
    this.host[Symbol.dispose]();
    this.pod[Symbol.dispose]();
    deleteNamespace(this.hostPath);
    deleteNamespace(this.podPath);
    Deno.removeSync(this.directory);
  }
}

Deno.test("createVeth() bears the peer in the other namespace with its name, addresses and MTU", () => {
  using pair = new Pair();
  const ifindex = pair.veth();
  const host = getLink(pair.host, "plx0"), pod = getLink(pair.pod, ifindex.pod);
  assertEquals([host.kind, host.mtu, pod.mtu, pod.name], ["veth", 1450, 1450, "eth0"]);
  assertEquals(formatMac(host.mac), "02:00:00:00:00:01");
  assertEquals(formatMac(pod.mac), "02:00:00:00:00:02");
  assertEquals([host.peerIfindex, pod.peerIfindex], [ifindex.pod, ifindex.host]);
  assert((host.flags & IFF_UP) !== 0 && (pod.flags & IFF_UP) !== 0);
  assertEquals(findLink(pair.host, "eth0"), undefined);
  assert(deleteLink(pair.host, "plx0"));
  assert(!deleteLink(pair.host, "plx0"));
  assertEquals(findLink(pair.pod, "eth0"), undefined);
});

Deno.test("createVeth() takes a wanted ifindex and refuses a name that is taken", () => {
  using pair = new Pair();
  createVeth(pair.host, { name: "a", ifindex: 777, mtu: 1500, peer: { name: "b" } });
  assertEquals(getLink(pair.host, 777).name, "a");
  const again = () => createVeth(pair.host, { name: "a", mtu: 1500, peer: { name: "c" } });
  assert(isErrno(assertThrows(again, KernelError), "EEXIST"));
  assertThrows(
    () => createVeth(pair.host, { name: "much-too-long-name", mtu: 1500, peer: { name: "c" } }),
    TypeError,
    "1 to 15 bytes",
  );
});

Deno.test("NetlinkSocket gives the kernel's explanation of a refusal", () => {
  using pair = new Pair();
  createVeth(pair.host, { name: "a", mtu: 1500, peer: { name: "b" } });
  const error = assertThrows(() => setLink(pair.host, "a", { mtu: 1 << 20 }), KernelError);
  assertEquals(error.code, "EINVAL");
  assertEquals(error.log, "mtu greater than device maximum");
});

Deno.test("setLink() renames, resizes and moves a device", () => {
  using pair = new Pair();
  createVeth(pair.host, { name: "a", mtu: 1500, peer: { name: "b" } });
  setLink(pair.host, "a", { name: "c", mtu: 1400, mac: parseMac("02:00:00:00:00:09") });
  const moved = getLink(pair.host, "c");
  assertEquals([moved.mtu, formatMac(moved.mac)], [1400, "02:00:00:00:00:09"]);
  using namespace = openNamespace(pair.podPath);
  setLink(pair.host, "c", { netns: namespace.fd });
  assertEquals(listLinks(pair.host).map((l) => l.name).sort(), ["b", "lo"]);
  assertEquals(getLink(pair.pod, "c").mtu, 1400);
});

Deno.test("createVxlan() makes an external device without ARP", () => {
  using pair = new Pair();
  createVxlan(pair.host, { name: "plxvx", port: 8472, mtu: 1450 });
  const link = getLink(pair.host, "plxvx");
  assertEquals([link.kind, link.mtu], ["vxlan", 1450]);
  assert(link.flags & IFF_NOARP);
  setLink(pair.host, "plxvx", { up: true });
  const again = () => createVxlan(pair.host, { name: "other", port: 8472, mtu: 1450 });
  const error = assertThrows(again, KernelError);
  assert(isErrno(error, "EEXIST"), error.message);
});

Deno.test("addAddress() gives both families at once, without detection and prefix route", () => {
  using pair = new Pair();
  const { pod } = pair.veth();
  for (const text of ["10.0.0.7/32", "fd00::7/128"]) {
    const options = { ifindex: pod, cidr: parseCidr(text) };
    addAddress(pair.pod, options);
    addAddress(pair.pod, options);
    const row = listAddresses(pair.pod, { ifindex: pod }).find((r) => formatCidr(r.cidr) === text);
    assert(row && !row.tentative, text);
    assert(deleteAddress(pair.pod, options));
    assert(!deleteAddress(pair.pod, options));
  }
});

Deno.test("replaceRoute() sets, changes and lists routes of both families", () => {
  using pair = new Pair();
  const { pod } = pair.veth();
  for (
    const [own, router, all, cluster] of [
      ["10.0.0.7/32", "10.0.0.1", "0.0.0.0/0", "10.0.0.0/8"],
      ["fd00::7/128", "fd00::1", "::/0", "fd00::/48"],
    ]
  ) {
    addAddress(pair.pod, { ifindex: pod, cidr: parseCidr(own!) });
    const via = parseIp(router!);
    replaceRoute(pair.pod, {
      destination: { address: via, prefixLength: 128 },
      ifindex: pod,
    });
    replaceRoute(pair.pod, { destination: parseCidr(all!), via, ifindex: pod, onlink: true });
    for (const mtu of [1400, 1380]) {
      replaceRoute(pair.pod, {
        destination: parseCidr(cluster!),
        via,
        ifindex: pod,
        mtu,
        source: parseIp(own!.split("/")[0]!),
        protocol: 77,
      });
    }
    const routes = listRoutes(pair.pod, { ifindex: pod });
    const found = routes.filter((r) => formatCidr(r.destination) === cluster);
    assertEquals(found.length, 1);
    assertEquals([found[0]!.mtu, found[0]!.protocol, formatIp(found[0]!.via!)], [
      1380,
      77,
      router!,
    ]);
    assertEquals(formatIp(found[0]!.source!), own!.split("/")[0]!);
    const gone = { destination: parseCidr(cluster!), ifindex: pod };
    assert(deleteRoute(pair.pod, gone));
    assert(!deleteRoute(pair.pod, gone));
    assert(routes.some((r) => formatCidr(r.destination) === all));
  }
});

Deno.test("replaceRoute() takes a next hop of the other family and other tables and kinds", () => {
  using pair = new Pair();
  const { host } = pair.veth();
  addAddress(pair.host, { ifindex: host, cidr: parseCidr("fd00::1/128") });
  replaceRoute(pair.host, {
    destination: parseCidr("10.9.0.0/16"),
    via: parseIp("fe80::1"),
    ifindex: host,
    onlink: true,
    table: 2004,
  });
  replaceRoute(pair.host, { destination: parseCidr("10.8.0.0/16"), type: "unreachable" });
  const [via] = listRoutes(pair.host, { table: 2004 });
  assertEquals([formatCidr(via!.destination), formatIp(via!.via!)], ["10.9.0.0/16", "fe80::1"]);
  const [unreachable] = listRoutes(pair.host).filter((r) => r.type === "unreachable");
  assertEquals(formatCidr(unreachable!.destination), "10.8.0.0/16");
});

Deno.test("replaceNeighbour() sets permanent neighbours of both families", () => {
  using pair = new Pair();
  const { host } = pair.veth();
  for (const text of ["10.0.0.7", "fd00::7"]) {
    const ip = parseIp(text), mac = parseMac("02:00:00:00:00:02");
    replaceNeighbour(pair.host, { ifindex: host, ip, mac });
    const row = listNeighbours(pair.host, { ifindex: host }).find((r) => formatIp(r.ip) === text);
    assert(row?.permanent);
    assertEquals(formatMac(row.mac), "02:00:00:00:00:02");
  }
});

Deno.test("inNamespace() comes home after success, failure and a promise", async () => {
  using pair = new Pair();
  const home = namespaceId("/proc/thread-self/ns/net");
  using namespace = openNamespace(pair.podPath);
  const there = inNamespace(namespace.fd, () => namespaceId("/proc/thread-self/ns/net"));
  assertEquals(there, namespaceId(pair.podPath));
  assertThrows(() =>
    inNamespace(namespace.fd, () => {
      throw new RangeError("in there");
    }), RangeError);
  await assertRejects(
    () => Promise.resolve().then(() => inNamespace(namespace.fd, () => Promise.resolve())),
    TypeError,
    "must be synchronous",
  );
  assertEquals(namespaceId("/proc/thread-self/ns/net"), home);
  assert(isErrno(assertThrows(() => openNamespace("/dev/null"), KernelError), "EINVAL"));
  using uts = openNamespace("/proc/self/ns/uts");
  assert(isErrno(assertThrows(() => inNamespace(uts.fd, () => 0), KernelError), "EINVAL"));
  using own = currentNamespace();
  assert(own.fd > 0);
});

Deno.test("writeSysctls() writes those of the namespace it runs in", () => {
  using pair = new Pair();
  using namespace = openNamespace(pair.podPath);
  const before = readSysctl("ipv6/conf/all/accept_dad");
  const value = before === "1" ? "0" : "1";
  inNamespace(namespace.fd, () => writeSysctls([["ipv6/conf/all/accept_dad", value]]));
  assertEquals(inNamespace(namespace.fd, () => readSysctl("ipv6/conf/all/accept_dad")), value);
  assertEquals(readSysctl("ipv6/conf/all/accept_dad"), before);
  assertEquals(readSysctl("ipv4/conf/no-such-device/rp_filter"), undefined);
  assertThrows(() => writeSysctls([["../kernel/hostname", "x"]]), TypeError, "Not the name");
});

Deno.test("parseMessages() and parseAttributes() refuse what is cut off at every length", () => {
  const body = new NetlinkBody().u8(1, 7).string(3, "lo").nest(18, (b) => b.u32(2, 9)).bytes;
  const nested = parseAttributes(parseAttributes(body).get(18)!);
  assertEquals([...nested.get(2)!], [9, 0, 0, 0]);
  for (let length = 1; length < body.length; length++) {
    const cut = body.slice(0, length);
    // These cuts fall on an attribute's end or into its padding.
    if ((length >= 5 && length <= 8) || length === 15 || length === 16) continue;
    assertThrows(() => parseAttributes(cut), TypeError, "Netlink attribute", `${length}`);
  }
  const message = new Uint8Array(20);
  new DataView(message.buffer).setUint32(0, 20, true);
  assertEquals(parseMessages(message).length, 1);
  for (let length = 1; length < 20; length++) {
    assertThrows(() => parseMessages(message.slice(0, length)), TypeError, "Netlink");
  }
  const short = message.slice();
  new DataView(short.buffer).setUint32(0, 15, true);
  assertThrows(() => parseMessages(short), TypeError, "says 15 bytes");
});
