/** The kernel's side of an endpoint without BPF: veth pair, addresses, routes, neighbours. */

import { createHash } from "node:crypto";
import { isErrno } from "../../../datapath/bpf/kernel_error.ts";
import type { FileDescriptor } from "../../../datapath/bpf/ffi/libc.ts";
import { addAddress, listAddresses } from "../../../datapath/net/address.ts";
import {
  type Cidr,
  equalIp,
  formatCidr,
  formatIp,
  isIpv4,
  isIpv4Cidr,
  parseCidr,
  parseIp,
} from "../../../datapath/net/ip.ts";
import {
  createVeth,
  deleteLink,
  findLink,
  getLink,
  IFF_UP,
  type Link,
  listLinks,
  setLink,
} from "../../../datapath/net/link.ts";
import { formatMac, parseMac } from "../../../datapath/net/mac.ts";
import { listNeighbours, replaceNeighbour } from "../../../datapath/net/neighbour.ts";
import { NetlinkSocket } from "../../../datapath/net/netlink.ts";
import { inNamespace, type NetSysctl, writeSysctls } from "../../../datapath/net/netns.ts";
import { listRoutes, replaceRoute, type Route } from "../../../datapath/net/route.ts";
import type { AddressPair } from "../ipam/address_pool.ts";
import type { Endpoint } from "../../api/endpoint.ts";
import type { EndpointDatapath } from "./endpoint_request.ts";

/** How the host's ends of pods are named; nothing else has such a name. */
export const HOST_IFNAME = /^plx[0-9a-f]{10}$/;

/** The name of the host's end for an endpoint: the same each time. */
export function hostIfnameOf(key: string): string {
  return `plx${createHash("sha256").update(key).digest("hex").slice(0, 10)}`;
}

/** What all endpoints of the node share. */
export interface NodePlumbing {
  /** The router addresses, present on the host's lo. */
  router: AddressPair;
  /** Reached with the tunnel's smaller MTU; none: everything is. */
  clusterCidrs: readonly string[];
  /** MTU of the routes to clusterCidrs, in bytes. */
  clusterMtu: number;
}

function addressesOf({ ipv4, ipv6 }: AddressPair): Uint8Array<ArrayBuffer>[] {
  return [ipv4, ipv6].filter((ip) => ip !== undefined).map(parseIp);
}

const hostCidr = (address: Uint8Array<ArrayBuffer>): Cidr => ({ address, prefixLength: 128 });

/** The router address of the same family. */
function routerFor(node: NodePlumbing, ip: Uint8Array): Uint8Array<ArrayBuffer> {
  const router = isIpv4(ip) ? node.router.ipv4 : node.router.ipv6;
  if (!router) throw new TypeError(`The node has no router address for ${formatIp(ip)}`);
  return parseIp(router);
}

/** The host's routes to the pod. */
function hostRoutes(endpoint: Endpoint, node: NodePlumbing): Route[] {
  return addressesOf(endpoint).map((ip) => ({
    destination: hostCidr(ip),
    ifindex: endpoint.hostIfindex,
    source: routerFor(node, ip),
  }));
}

/** The pod's routes, in the order in which they can be added. */
function podRoutes(endpoint: Endpoint, node: NodePlumbing, ifindex: number): Route[] {
  const routes: Route[] = [];
  for (const ip of addressesOf(endpoint)) {
    const via = routerFor(node, ip);
    routes.push({ destination: hostCidr(via), ifindex });
    routes.push({
      destination: parseCidr(isIpv4(ip) ? "0.0.0.0/0" : "::/0"),
      via,
      ifindex,
      onlink: true,
      ...(node.clusterCidrs.length === 0 && node.clusterMtu < endpoint.mtu
        ? { mtu: node.clusterMtu }
        : {}),
    });
    if (node.clusterMtu >= endpoint.mtu) continue;
    for (const destination of node.clusterCidrs.map(parseCidr)) {
      if (isIpv4Cidr(destination) !== isIpv4(ip)) continue;
      routes.push({ destination, via, ifindex, onlink: true, mtu: node.clusterMtu });
    }
  }
  return routes;
}

/** Makes the pair; the pod's end is born in the pod's namespace. A leftover of that name goes first. */
export function makePair(
  host: NetlinkSocket,
  netns: FileDescriptor,
  { hostIfname, ifname, hostMac, podMac, mtu }: Endpoint,
): Link {
  const create = () =>
    createVeth(host, {
      name: hostIfname,
      mac: parseMac(hostMac),
      mtu,
      peer: { name: ifname, mac: parseMac(podMac), netns: netns.fd },
    });
  try {
    create();
  } catch (error) {
    if (!isErrno(error, "EEXIST") || !deleteLink(host, hostIfname)) throw error;
    create();
  }
  return getLink(host, hostIfname);
}

/** Configures the pod's end: everything that its namespace needs to talk. */
export function configurePod(
  netns: FileDescriptor,
  endpoint: Endpoint,
  node: NodePlumbing,
): void {
  const { ifname, hostMac, ipv6 } = endpoint;
  const sysctls: NetSysctl[] = ipv6
    ? [
      [`ipv6/conf/${ifname}/disable_ipv6`, "0"],
      [`ipv6/conf/${ifname}/accept_dad`, "0"],
      [`ipv6/conf/${ifname}/accept_ra`, "0"],
    ]
    : [];
  inNamespace(netns.fd, () => writeSysctls(sysctls));
  using pod = NetlinkSocket.open({ netns: netns.fd });
  setLink(pod, "lo", { up: true });
  setLink(pod, ifname, { up: true });
  const { ifindex } = getLink(pod, ifname);
  for (const ip of addressesOf(endpoint)) {
    addAddress(pod, { ifindex, cidr: hostCidr(ip) });
    // The programs on the veth answer for the router as well; this saves the first packet a round trip.
    replaceNeighbour(pod, { ifindex, ip: routerFor(node, ip), mac: parseMac(hostMac) });
  }
  addMissingRoutes(pod, podRoutes(endpoint, node, ifindex));
}

/** Adds routes whose destination has none: a default route of another interface stays. */
function addMissingRoutes(pod: NetlinkSocket, routes: readonly Route[]): number {
  const there = new Set(listRoutes(pod).map(({ destination }) => formatCidr(destination)));
  const missing = routes.filter(({ destination }) => !there.has(formatCidr(destination)));
  for (const route of missing) replaceRoute(pod, route);
  return missing.length;
}

/** Configures the host's end. `burst` runs its function in the host's namespace. */
export function configureHost(
  host: NetlinkSocket,
  burst: <T>(work: () => T) => T,
  endpoint: Endpoint,
  node: NodePlumbing,
): void {
  const { hostIfname, hostIfindex, ipv4, ipv6 } = endpoint;
  const sysctls: NetSysctl[] = [];
  if (ipv4) {
    sysctls.push(
      [`ipv4/conf/${hostIfname}/rp_filter`, "0"],
      [`ipv4/conf/${hostIfname}/forwarding`, "1"],
    );
  }
  if (ipv6) {
    sysctls.push(
      [`ipv6/conf/${hostIfname}/disable_ipv6`, "0"],
      [`ipv6/conf/${hostIfname}/accept_dad`, "0"],
      [`ipv6/conf/${hostIfname}/accept_ra`, "0"],
      [`ipv6/conf/${hostIfname}/forwarding`, "1"],
    );
  }
  burst(() => writeSysctls(sysctls));
  setLink(host, hostIfindex, { up: true });
  for (const route of hostRoutes(endpoint, node)) replaceRoute(host, route);
  const mac = parseMac(endpoint.podMac);
  for (const ip of addressesOf(endpoint)) {
    replaceNeighbour(host, { ifindex: hostIfindex, ip, mac });
  }
}

/**
 * Gives a pod back the addresses, routes and neighbours that the kernel took when its end went down.
 * Nothing that something else has put in a route's place is changed, nor an end that is down. Returns
 * how many things were missing.
 */
export function restorePod(netns: FileDescriptor, endpoint: Endpoint, node: NodePlumbing): number {
  using pod = NetlinkSocket.open({ netns: netns.fd });
  const link = findLink(pod, endpoint.ifname);
  if (!link || !(link.flags & IFF_UP) || formatMac(link.mac) !== endpoint.podMac) return 0;
  const { ifindex } = link;
  const addresses = listAddresses(pod, { ifindex }).map(({ cidr }) => formatIp(cidr.address));
  const neighbours = listNeighbours(pod).filter((row) => row.permanent && row.ifindex === ifindex)
    .map(({ ip }) => formatIp(ip));
  let restored = 0;
  for (const ip of addressesOf(endpoint)) {
    if (!addresses.includes(formatIp(ip))) {
      addAddress(pod, { ifindex, cidr: hostCidr(ip) });
      restored++;
    }
    const router = routerFor(node, ip);
    if (neighbours.includes(formatIp(router))) continue;
    replaceNeighbour(pod, { ifindex, ip: router, mac: parseMac(endpoint.hostMac) });
    restored++;
  }
  return restored + addMissingRoutes(pod, podRoutes(endpoint, node, ifindex));
}

/** The source counts: the kernel takes it from an IPv6 route when the address goes. */
const hostRouteKey = ({ destination, ifindex, source }: Route) =>
  `route ${formatCidr(destination)} ${ifindex} ${source ? formatIp(source) : ""}`;

/** Of so many endpoints each is asked for by itself; of more, all that the kernel has is read once. */
const FEW = 4;

/** Sets what is missing on the host's side of the endpoints. Returns how many things. */
export function repairHost(
  host: NetlinkSocket,
  endpoints: readonly Endpoint[],
  node: NodePlumbing,
): number {
  const asked = endpoints.length > FEW
    ? [{}]
    : endpoints.map(({ hostIfindex: ifindex }) => ({ ifindex }));
  const have = new Set(asked.flatMap((filter) => [
    ...listRoutes(host, filter).map(hostRouteKey),
    ...listNeighbours(host, filter).filter((n) => n.permanent)
      .map((n) => `neighbour ${formatIp(n.ip)} ${n.ifindex} ${formatMac(n.mac)}`),
  ]));
  let repaired = 0;
  for (const endpoint of endpoints) {
    const { hostIfindex: ifindex, podMac } = endpoint;
    try {
      for (const route of hostRoutes(endpoint, node)) {
        if (have.has(hostRouteKey(route))) continue;
        replaceRoute(host, route);
        repaired++;
      }
      for (const ip of addressesOf(endpoint)) {
        if (have.has(`neighbour ${formatIp(ip)} ${ifindex} ${podMac}`)) continue;
        replaceNeighbour(host, { ifindex, ip, mac: parseMac(podMac) });
        repaired++;
      }
    } catch (error) {
      // its device has just gone, of which the kernel gives notice, or somebody has set it down
      if (isErrno(error, "ENETDOWN")) setLink(host, ifindex, { up: true });
      // no route without its source: the endpoints are looked at again when the address is back
      else if (isErrno(error, "EINVAL") && !hasRouterAddresses(host, node.router)) break;
      else if (!isErrno(error, "ENODEV")) throw error;
    }
  }
  return repaired;
}

/** Those of the endpoints whose host's end is not the one that was made, with what is wrong. */
export function hostProblems(
  host: NetlinkSocket,
  endpoints: readonly Endpoint[],
): Map<Endpoint, string> {
  const links = endpoints.length > FEW
    ? new Map(listLinks(host).map((link) => [link.name, link]))
    : undefined;
  const problems = new Map<Endpoint, string>();
  for (const endpoint of endpoints) {
    const { hostIfname } = endpoint;
    const problem = endProblem(
      links ? links.get(hostIfname) : findLink(host, hostIfname),
      endpoint,
    );
    if (problem) problems.set(endpoint, problem);
  }
  return problems;
}

function endProblem(
  link: Link | undefined,
  { hostIfname, hostIfindex, hostMac }: Endpoint,
): string | undefined {
  if (!link) return `link ${hostIfname} is gone`;
  if (link.ifindex !== hostIfindex || formatMac(link.mac) !== hostMac) {
    return `link ${hostIfname} is another one: ifindex ${link.ifindex} and ` +
      `${formatMac(link.mac)} instead of ${hostIfindex} and ${hostMac}`;
  }
  return undefined;
}

/** Everything that is wrong with the pod's end. */
export function podProblems(
  netns: FileDescriptor,
  endpoint: Endpoint,
  node: NodePlumbing,
): string[] {
  using pod = NetlinkSocket.open({ netns: netns.fd });
  const link = findLink(pod, endpoint.ifname);
  if (!link) return [`link ${endpoint.ifname} is gone from the pod`];
  const problems: string[] = [];
  if (!(link.flags & IFF_UP)) problems.push(`link ${endpoint.ifname} of the pod is down`);
  if (formatMac(link.mac) !== endpoint.podMac) {
    problems.push(`link ${endpoint.ifname} of the pod has ${formatMac(link.mac)}`);
  }
  const addresses = listAddresses(pod, { ifindex: link.ifindex });
  for (const ip of addressesOf(endpoint)) {
    if (!addresses.some((row) => equalIp(row.cidr.address, ip))) {
      problems.push(`address ${formatIp(ip)} is gone from the pod`);
    }
  }
  const routes = new Set(
    listRoutes(pod).map((r) => formatCidr(r.destination)),
  );
  for (const { destination } of podRoutes(endpoint, node, link.ifindex)) {
    if (!routes.has(formatCidr(destination))) {
      problems.push(`route to ${formatCidr(destination)} is gone from the pod`);
    }
  }
  return problems;
}

/**
 * Throws Error when the programs serve a pod of which nothing is known: an agent that went on would take
 * its device for a leftover and delete it.
 */
export function requireKnown(
  host: NetlinkSocket,
  known: readonly Endpoint[],
  datapath: Pick<EndpointDatapath, "serves">,
): void {
  const names = new Set(known.map(({ hostIfname }) => hostIfname));
  const unknown = listLinks(host).filter(({ kind, name, ifindex }) =>
    kind === "veth" && HOST_IFNAME.test(name) && !names.has(name) && datapath.serves(ifindex)
  ).map(({ name }) => name);
  if (unknown.length === 0) return;
  throw new Error(
    `Cannot take over ${unknown.length} pods of this node, such as that behind ${
      unknown[0]
    }: the ` +
      "state directory and the run directory know nothing of them; name those of the agent that made " +
      "them, or take pilus off the node with `pilus uninstall`",
  );
}

/** Gives the host's lo the router addresses. */
export function addRouterAddresses(host: NetlinkSocket, router: AddressPair): void {
  const lo = getLink(host, "lo");
  if (!(lo.flags & IFF_UP)) setLink(host, lo.ifindex, { up: true });
  for (const ip of addressesOf(router)) {
    addAddress(host, { ifindex: lo.ifindex, cidr: hostCidr(ip) });
  }
}

/** Whether the host's lo has the router addresses. */
function hasRouterAddresses(host: NetlinkSocket, router: AddressPair): boolean {
  const { ifindex } = getLink(host, "lo");
  const there = listAddresses(host, { ifindex }).map(({ cidr }) => formatIp(cidr.address));
  return addressesOf(router).every((ip) => there.includes(formatIp(ip)));
}
