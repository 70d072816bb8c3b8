import { assert, assertEquals, assertThrows } from "@std/assert";
import { addAddress, deleteAddress, listAddresses } from "../../../datapath/net/address.ts";
import { formatCidr, parseCidr, parseIp } from "../../../datapath/net/ip.ts";
import { createVeth, deleteLink, getLink, setLink } from "../../../datapath/net/link.ts";
import { formatMac } from "../../../datapath/net/mac.ts";
import { NetlinkSocket } from "../../../datapath/net/netlink.ts";
import { createNamespace, deleteNamespace, openNamespace } from "../../../datapath/net/netns.ts";
import { replaceRoute } from "../../../datapath/net/route.ts";
import type { Table } from "../../core/table.ts";
import { deriveDevices, devicesWithoutEthernet, requireDevices } from "./devices.ts";
import { KernelFacts } from "./kernel_facts.ts";

/** A namespace with facts of it, a socket in it, and a wait for one of its tables. */
async function withFacts(
  test: (facts: KernelFacts, netlink: NetlinkSocket, path: string) => Promise<void>,
): Promise<void> {
  const directory = Deno.makeTempDirSync({ prefix: "pilus-facts-" });
  const path = `${directory}/node`;
  createNamespace(path);
  try {
    using namespace = openNamespace(path);
    using netlink = NetlinkSocket.open({ netns: namespace.fd });
    await using facts = KernelFacts.open(namespace.fd);
    await test(facts, netlink, path);
  } finally {
    deleteNamespace(path);
    Deno.removeSync(directory);
  }
}

async function until<Row>(table: Table<Row>, holds: (rows: Row[]) => boolean): Promise<void> {
  while (!holds(table.rows())) {
    const changed = Promise.withResolvers<void>();
    using _watch = table.watch(() => changed.resolve());
    await changed.promise;
  }
}

function device(netlink: NetlinkSocket, name: string, address: string): number {
  createVeth(netlink, { name, mtu: 1400, peer: { name: `${name}p` } });
  setLink(netlink, name, { up: true });
  setLink(netlink, `${name}p`, { up: true });
  const { ifindex } = getLink(netlink, name);
  addAddress(netlink, { ifindex, cidr: parseCidr(address) });
  replaceRoute(netlink, {
    destination: parseCidr("0.0.0.0/0"),
    via: parseIp("192.0.2.254"),
    ifindex,
    onlink: true,
  });
  return ifindex;
}

Deno.test("deriveDevices() follows addresses, MTU and a device that is made anew under its name", async () => {
  await withFacts(async (facts, netlink) => {
    const { devices, ...derivation } = deriveDevices(facts, ["eth0"]);
    using _derivation = derivation;
    assertEquals(devices.size, 0);
    const ifindex = device(netlink, "eth0", "192.0.2.1/24");
    await until(devices, ([row]) => row?.ipv4 === "192.0.2.1");
    const mac = formatMac(getLink(netlink, "eth0").mac);
    assertEquals(devices.rows()[0], { name: "eth0", ifindex, mtu: 1400, mac, ipv4: "192.0.2.1" });
    addAddress(netlink, { ifindex, cidr: parseCidr("192.0.2.9/32") });
    deleteAddress(netlink, { ifindex, cidr: parseCidr("192.0.2.1/24") });
    await until(devices, ([row]) => row?.ipv4 === "192.0.2.9");
    setLink(netlink, "eth0", { mtu: 1300 });
    await until(devices, ([row]) => row?.mtu === 1300);
    deleteLink(netlink, "eth0");
    await until(devices, (rows) => rows.length === 0);
    const anew = device(netlink, "eth0", "192.0.2.2/24");
    await until(devices, ([row]) => row?.ipv4 === "192.0.2.2");
    assertEquals(devices.rows()[0]?.ifindex, anew);
  });
});

Deno.test("deriveDevices() without names has the devices of default routes", async () => {
  await withFacts(async (facts, netlink) => {
    const { devices, ...derivation } = deriveDevices(facts, []);
    using _derivation = derivation;
    device(netlink, "up0", "192.0.2.1/24");
    createVeth(netlink, { name: "other", mtu: 1400, peer: { name: "otherp" } });
    await until(devices, ([row]) => row?.name === "up0" && row.ipv4 !== undefined);
    // the kernel deletes the route without a notice of its own
    setLink(netlink, "up0", { up: false });
    await until(devices, (rows) => rows.length === 0);
  });
});

/** Runs iproute2 in the namespace. */
function ip(path: string, command: string): void {
  const args = [`--net=${path}`, "ip", ...command.split(" ")];
  const { success, stderr } = new Deno.Command("nsenter", { args }).outputSync();
  assert(success, new TextDecoder().decode(stderr));
}

const [FIRST, SECOND] = ["nexthop via 192.0.2.254 dev up0", "nexthop via 198.51.100.254 dev up1"];
const [FIRST6, SECOND6] = [
  "nexthop via 2001:db8:1::fe dev up0",
  "nexthop via 2001:db8:2::fe dev up1",
];

/** Default routes, in words of iproute2, and the devices that they lead to. */
const DEFAULT_ROUTES: [name: string, commands: string[], devices: string[]][] = [
  ["of two next hops", [`route add default ${FIRST} ${SECOND}`], ["up0", "up1"]],
  ["of two next hops, IPv6", [`-6 route add default ${FIRST6} ${SECOND6}`], ["up0", "up1"]],
  ["of a group of next hops", [
    "nexthop add id 1 via 192.0.2.254 dev up0",
    "nexthop add id 2 via 198.51.100.254 dev up1",
    "nexthop add id 3 group 1/2",
    "route add default nhid 3",
  ], ["up0", "up1"]],
  ["that lead nowhere", [
    "-6 route add unreachable default metric 4278198272",
    "route add blackhole default metric 4278198272",
    "-6 route add default via 2001:db8:2::fe dev up1",
  ], ["up1"]],
];

for (const [name, commands, expected] of DEFAULT_ROUTES) {
  Deno.test(`deriveDevices() without names has the devices of default routes ${name}`, async () => {
    await withFacts(async (facts, netlink, path) => {
      const { devices, ...derivation } = deriveDevices(facts, []);
      using _derivation = derivation;
      for (const name of ["up0", "up1"]) {
        createVeth(netlink, { name, mtu: 1400, peer: { name: `${name}p` } });
        setLink(netlink, name, { up: true });
        setLink(netlink, `${name}p`, { up: true });
      }
      ip(path, "addr add 192.0.2.1/24 dev up0");
      ip(path, "addr add 198.51.100.1/24 dev up1");
      ip(path, "addr add 2001:db8:1::1/64 dev up0 nodad");
      ip(path, "addr add 2001:db8:2::1/64 dev up1 nodad");
      for (const command of commands) ip(path, command);
      await until(devices, (rows) => rows.length >= expected.length);
      assertEquals(devices.rows().map((row) => row.name), expected);
    });
  });
}

Deno.test("a device without Ethernet header is none of the node's, and is named", async () => {
  await withFacts(async (facts, netlink, path) => {
    ip(path, "link add bare type vxlan external gpe dstport 4790");
    ip(path, "link set bare up");
    ip(path, "-6 route add default dev bare metric 9");
    await until(facts.defaultRoutes, (rows) => rows.length > 0);
    for (const names of [[], ["bare"]]) {
      const { devices, ...derivation } = deriveDevices(facts, names);
      using _derivation = derivation;
      assertEquals(devices.rows(), []);
      assertEquals(devicesWithoutEthernet(facts, names), ["bare"]);
      assertThrows(
        () => requireDevices(devices, facts, names),
        Error,
        "Cannot use device bare: it has no Ethernet header; name others by --device",
      );
    }
    const { devices, ...derivation } = deriveDevices(facts, []);
    using _derivation = derivation;
    device(netlink, "eth0", "192.0.2.1/24");
    await until(devices, (rows) => rows.length > 0);
    requireDevices(devices, facts, []);
    assertEquals(devices.keys(), ["eth0"]);
    assertEquals(devicesWithoutEthernet(facts, []), ["bare"]);
    assertEquals(devicesWithoutEthernet(facts, ["eth0"]), []);
  });
});

/** What is given to a device, in words of iproute2 and in that order, and the addresses it is known by. */
const ADDRESSES: [name: string, given: string[], ipv4: string, ipv6: string][] = [
  [
    "an address that moves between nodes (VRRP)",
    [
      "192.0.2.99/32",
      "192.0.2.1/24",
      "2001:db8::1/64 nodad",
      "2001:db8::9/128 nodad",
    ],
    "192.0.2.1",
    "2001:db8::1",
  ],
  [
    "a deprecated one",
    [
      "192.0.2.1/24",
      "2001:db8::1/64 nodad preferred_lft 0 valid_lft forever",
      "2001:db8::9/64 nodad",
    ],
    "192.0.2.1",
    "2001:db8::9",
  ],
  [
    "a second one of its network",
    [
      "192.0.2.9/24",
      "192.0.2.1/24",
      "2001:db8::9/64 nodad",
      "2001:db8::1/64 nodad",
    ],
    "192.0.2.9",
    "2001:db8::1",
  ],
  [
    "nothing but one of a host alone",
    [
      "192.0.2.1/32",
      "2001:db8::1/128 nodad",
    ],
    "192.0.2.1",
    "2001:db8::1",
  ],
];

for (const [name, given, ipv4, ipv6] of ADDRESSES) {
  Deno.test(`deriveDevices() takes the address that stays where a device has ${name}`, async () => {
    await withFacts(async (facts, netlink, path) => {
      createVeth(netlink, { name: "eth0", mtu: 1400, peer: { name: "eth0p" } });
      setLink(netlink, "eth0", { up: true });
      const known = (facts: KernelFacts) => {
        const { devices, ...derivation } = deriveDevices(facts, ["eth0"]);
        using _derivation = derivation;
        return devices.rows().map((row) => [row.ipv4, row.ipv6]);
      };
      for (const each of given) ip(path, `addr add ${each} dev eth0`);
      await until(
        facts.addresses,
        (rows) => given.every((each) => rows.some(({ cidr }) => each.startsWith(formatCidr(cidr)))),
      );
      // by notices, and as an agent finds it that starts now
      assertEquals(known(facts), [[ipv4, ipv6]]);
      using namespace = openNamespace(path);
      await using anew = KernelFacts.open(namespace.fd);
      assertEquals(known(anew), [[ipv4, ipv6]]);
    });
  });
}

Deno.test("KernelFacts reads everything anew when notices were lost", async () => {
  await withFacts(async (facts, netlink) => {
    const ifindex = device(netlink, "eth0", "192.0.2.1/24");
    await until(facts.addresses, (rows) => rows.some((row) => row.ifindex === ifindex));
    let overrun = false;
    using _listener = facts.listen((notices) => {
      overrun ||= notices.some(({ kind }) => kind === "overrun");
    });
    // faster than anybody reads: this thread
    const options = { ifindex, cidr: parseCidr("198.51.100.1/32") };
    for (let i = 0; i < 8000; i++) {
      addAddress(netlink, options);
      deleteAddress(netlink, options);
    }
    addAddress(netlink, { ifindex, cidr: parseCidr("198.51.100.2/32") });
    await until(
      facts.addresses,
      (rows) => rows.some(({ cidr }) => formatCidr(cidr) === "198.51.100.2/32"),
    );
    assert(overrun);
    const texts = (rows: { cidr: Parameters<typeof formatCidr>[0] }[]) =>
      rows.map(({ cidr }) => formatCidr(cidr)).sort();
    assertEquals(texts(facts.addresses.rows()), texts(listAddresses(netlink)));
  });
});
