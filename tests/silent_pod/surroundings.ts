/** The addresses, MACs and ports that exist where the test of the silent pod runs, and who sends. */

import { type LabHost, type LabNode, type LabPod, OUTSIDE } from "../../cli/lab/lab.ts";
import { formatIp, parseIp, rawIp } from "../../datapath/net/ip.ts";
import { getLink, listLinks } from "../../datapath/net/link.ts";
import { parseMac } from "../../datapath/net/mac.ts";
import { type Cast, frontendsOf, OPEN_PORTS, SECONDARY, SERVICE_NAMES, STRANGER } from "./cast.ts";
import type { Address } from "./frame.ts";
import type { Flow, Sender, Surroundings } from "./draft.ts";

/** Addresses that nobody has, and those that mean something else than a host. */
const ODD = {
  4: [
    ...["10.60.1.200", "10.60.2.200", "192.168.60.99", "8.8.8.8", "0.0.0.0", "255.255.255.255"],
    ...["192.168.60.255", "192.168.60.0", "10.60.1.255", "10.60.1.0", "127.0.0.1", "127.8.8.8"],
    ...["224.0.0.1", "239.1.1.1", "169.254.1.1", "169.254.169.254", "240.0.0.1"],
  ],
  6: [
    ...["fd60:1::200", "fd60:2::200", "fd00:60::99", "2001:db8::8", "::", "::1", "fd00:60::"],
    ...["fd60:1::", "fd60:2::", "ff02::1", "ff02::2", "ff05::2", "ff0e::1", "ff01::1", "fe80::1"],
    ...["::ffff:10.60.1.2", "::ffff:127.0.0.1", "64:ff9b::a3c:102", "2002:a3c:102::1"],
  ],
} as const;

/** MACs that are of no host of the lab. */
const ODD_MACS = [
  ...["ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01", "33:33:00:00:00:01", "02:42:de:ad:be:ef"],
  "00:00:00:00:00:00",
];

/** Of services, the tunnel, its kin, and of nodes' daemons. */
const PORTS = [7000, 7000, 8080, 8080, 8472, 8472, 6081, 4789, 80, 53, 22, 10250, 0, 65535, 40000];

/** The wire's router, on both sides. */
export const ROUTER = ["192.168.60.254", "fd00:60::fe", "203.0.113.1", "2001:db8:60::1"];

interface DualStack {
  ipv4: string;
  ipv6: string;
}

/** A namespace that is watched, its devices by ifindex. */
export interface Watched {
  host: LabHost;
  devices: ReadonlyMap<number, { name: string; mac: Uint8Array }>;
}

/** The namespaces of a cast, by name. */
export function watch({ story, pods, stranger }: Cast): Map<string, Watched> {
  const { lab } = story;
  const hosts: [string, LabHost][] = [
    ...pods,
    ...[...lab.nodes, lab.wire, stranger, lab.outside].map((host) => [host.name, host] as const),
  ] as [string, LabHost][];
  return new Map(hosts.map(([name, host]) => {
    const links = host.netlink((netlink) => listLinks(netlink));
    const devices = new Map(links.map((link) => [link.ifindex, link]));
    return [name, { host, devices }];
  }));
}

/** The MAC of a device of a namespace. */
export function macOf(host: LabHost, device = "eth0"): Uint8Array {
  return host.netlink((netlink) => getLink(netlink, device).mac);
}

/** A mapped IPv4 address is one of IPv6 here. */
function address(text: string): Address {
  const bytes = parseIp(text);
  if (text.includes(":")) return { text: text.includes(".") ? text : formatIp(bytes), bytes };
  return { text, bytes: rawIp(bytes) };
}

function both({ ipv4, ipv6 }: DualStack): Address[] {
  return [address(ipv4), address(ipv6)];
}

/** The link-local address that the kernel makes of a MAC (RFC 4291, appendix A). */
function linkLocalOf(mac: Uint8Array): Address {
  const part = (i: number) => (mac[i]! << 8 | mac[i + 1]!).toString(16);
  const middle = [(mac[2]! << 8 | 0xff).toString(16), (0xfe00 | mac[3]!).toString(16)];
  const first = ((mac[0]! ^ 2) << 8 | mac[1]!).toString(16);
  return address(`fe80::${first}:${middle[0]}:${middle[1]}:${part(4)}`);
}

/** All that frames may be made of. `vnis` are identities of pods. */
export function surroundingsOf(cast: Cast, vnis: Iterable<number>): Surroundings {
  const { story: { lab }, pods, stranger } = cast;
  const hosts = [...pods.values(), ...lab.nodes, stranger, lab.outside];
  const linkLocal = [
    ...lab.nodes.map((node) => linkLocalOf(macOf(node))),
    ...[...pods.values()].map((pod) => linkLocalOf(hostSide(pod))),
  ];
  const nodes = lab.nodes.flatMap(both);
  const all = [
    ...[...pods.values(), STRANGER, OUTSIDE].flatMap(both),
    ...nodes,
    ...lab.nodes.flatMap(({ number }) => [`10.60.${number}.1`, `fd60:${number}::1`].map(address)),
    ...SERVICE_NAMES.flatMap((name) => {
      const { cluster, external } = frontendsOf(name);
      return [...cluster, ...external].map(address);
    }),
    ...[...SECONDARY, ...ROUTER, ...ODD[4], ...ODD[6]].map(address),
    ...linkLocal,
  ];
  const families = (addresses: readonly Address[]) => ({
    4: addresses.filter(({ bytes }) => bytes.length === 4),
    6: addresses.filter(({ bytes }) => bytes.length === 16),
  });
  return {
    addresses: families(all),
    macs: [
      ...hosts.map((host) => macOf(host)),
      ...["wire", "outside"].map((device) => macOf(lab.wire, device)),
      ...ODD_MACS.map(parseMac),
    ],
    ports: [
      ...PORTS,
      ...SERVICE_NAMES.flatMap((name) => Object.values(frontendsOf(name).nodePort)),
    ],
    flows: flowsOf(sendersOf(cast)),
    tunnelEnds: families(nodes),
    vnis: [...Array(11).keys(), 2, 2, 6, 6, ...vnis],
    infrastructure: new Set(
      [...nodes, ...ROUTER.map(address), ...linkLocal].map(({ text }) => text),
    ),
  };
}

/** What senders may begin, and what a pod says to itself. */
function flowsOf(senders: readonly Sender[]): Flow[] {
  return senders.flatMap(({ own, favourites }) => [
    ...favourites.map(({ address: to, protocol, port }) => {
      return { from: own[to.bytes.length === 4 ? 4 : 6], to, protocol, port };
    }),
    ...[own[4], own[6]].flatMap((ip) => OPEN_PORTS.map((open) => ({ from: ip, to: ip, ...open }))),
  ]);
}

/** The node's side of a pod's device. */
function hostSide(pod: LabPod): Uint8Array {
  return macOf(pod.node as LabNode, pod.hostDevice);
}

/** Who sends, in the order of SENDERS. */
export function sendersOf(
  { story: { lab, a, b }, pods, stranger }: Cast,
): (Sender & { host: LabHost })[] {
  const sender = (
    name: string,
    host: LabHost,
    own: DualStack,
    hops: Uint8Array[],
    to?: Service,
  ) => ({
    name,
    host,
    own: { 4: address(own.ipv4), 6: address(own.ipv6) },
    mac: macOf(host),
    nextHops: hops,
    favourites: to ? favouritesOf(to, pods.get(to)!, [a, b]) : [],
  });
  const podSender = (name: string, to?: Service) => {
    const pod = pods.get(name)!;
    return sender(name, pod, pod, [hostSide(pod)], to);
  };
  return [
    podSender("silent"),
    podSender("tied", "near"),
    podSender("roamer", "far"),
    sender("stranger", stranger, STRANGER, [a, b, a].map((node) => macOf(node)), "web"),
    sender("outside", lab.outside, OUTSIDE, [macOf(lab.wire, "outside")], "web"),
  ];
}

type Service = typeof SERVICE_NAMES[number];

function favouritesOf(name: Service, pod: LabPod, nodes: readonly LabNode[]) {
  const { cluster, external, port, nodePort } = frontendsOf(name);
  const own = [pod.ipv4, pod.ipv6].flatMap((ip) => OPEN_PORTS.map((open) => ({ ip, ...open })));
  const services = ([6, 17] as const).flatMap((protocol) => [
    ...[...cluster, ...external].map((ip) => ({ ip, protocol, port: port[protocol] })),
    ...nodes.flatMap(({ ipv4, ipv6 }) => [ipv4, ipv6])
      .map((ip) => ({ ip, protocol, port: nodePort[protocol] })),
  ]);
  return [...own, ...services].map(({ ip, protocol, port }) => ({
    address: address(ip),
    protocol,
    port,
  }));
}
