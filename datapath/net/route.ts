/** Routes. Constants: include/uapi/linux/rtnetlink.h. */

import { isErrno } from "../bpf/kernel_error.ts";
import { SCOPE_LINK, SCOPE_UNIVERSE } from "./address.ts";
import {
  type Cidr,
  formatCidr,
  formatIp,
  ipFromRaw,
  IPV4_PREFIX_BITS,
  isIpv4,
  isIpv4Cidr,
  maskCidr,
  parseIp,
  rawIp,
} from "./ip.ts";
import { deleteIfThere, type NetlinkSocket, NLM_F_CREATE, NLM_F_REPLACE } from "./netlink.ts";
import {
  AF_INET,
  AF_INET6,
  attributeNumber,
  NetlinkBody,
  parseAttributes,
  structOf,
} from "./netlink_message.ts";

const RTM_NEWROUTE = 24, RTM_DELROUTE = 25, RTM_GETROUTE = 26;
const RTA_DST = 1, RTA_OIF = 4, RTA_GATEWAY = 5, RTA_PRIORITY = 6, RTA_PREFSRC = 7;
const RTA_METRICS = 8, RTA_MULTIPATH = 9, RTA_TABLE = 15, RTA_VIA = 18;
const RTAX_MTU = 2;
const RTNH_F_ONLINK = 4, RTM_F_CLONED = 0x200;
const RTPROT_BOOT = 3;
/** In a deletion: whatever the scope is. */
const SCOPE_NOWHERE = 255;
const RTMSG_SIZE = 12, RTNEXTHOP_SIZE = 8;
const ROUTE_TYPES = [
  "unspec",
  "unicast",
  "local",
  "broadcast",
  "anycast",
  "multicast",
  "blackhole",
  "unreachable",
  "prohibit",
] as const;

/** Route tables. */
export const TABLE_MAIN = 254, TABLE_LOCAL = 255;

export type RouteType = typeof ROUTE_TYPES[number];

/** Where packets go next. */
export interface NextHop {
  /** The device. */
  ifindex: number;
  /** Undefined: the destination itself. Of either family. */
  via?: Uint8Array<ArrayBuffer>;
}

/** A route with one next hop; one of several, as it is read, shows the first. */
export interface Route {
  destination: Cidr;
  /** @default {"unicast"} */
  type?: RouteType;
  /** The device. */
  ifindex?: number;
  /** The next hop, of either family. */
  via?: Uint8Array<ArrayBuffer>;
  /** The next hop is on the device's link although no address of the device says so. */
  onlink?: boolean;
  /** The source address that the host takes. */
  source?: Uint8Array<ArrayBuffer>;
  /** Path MTU in bytes. */
  mtu?: number;
  /** Metric: lower wins. The kernel makes 0 for IPv6 into 1024. */
  priority?: number;
  /** @default {TABLE_MAIN} */
  table?: number;
  /** All of them, where a route that is read has several; none is written. */
  nextHops?: NextHop[];
  /** Who made it, RTPROT_…. @default {3} boot, as iproute2 has it */
  protocol?: number;
  /** @default link where there is no next hop, else universe */
  scope?: number;
}

function body(route: Route): NetlinkBody {
  const { via, table = TABLE_MAIN, type = "unicast" } = route;
  const destination = maskCidr(route.destination);
  const ipv4 = isIpv4Cidr(destination);
  const bits = ipv4 ? destination.prefixLength - IPV4_PREFIX_BITS : destination.prefixLength;
  const scope = route.scope ??
    (ipv4 && !via && type === "unicast" ? SCOPE_LINK : SCOPE_UNIVERSE);
  const result = new NetlinkBody().struct(RTMSG_SIZE, (view) => {
    view.setUint8(0, ipv4 ? AF_INET : AF_INET6);
    view.setUint8(1, bits);
    view.setUint8(4, table < 256 ? table : 0);
    view.setUint8(5, route.protocol ?? RTPROT_BOOT);
    view.setUint8(6, scope);
    view.setUint8(7, ROUTE_TYPES.indexOf(type));
    view.setUint32(8, route.onlink ? RTNH_F_ONLINK : 0, true);
  });
  if (bits > 0) result.attribute(RTA_DST, rawIp(destination.address));
  result.u32(RTA_TABLE, table);
  if (route.ifindex !== undefined) result.u32(RTA_OIF, route.ifindex);
  if (via && isIpv4(via) === ipv4) {
    result.attribute(RTA_GATEWAY, rawIp(via));
  } else if (via) {
    // struct rtvia: family, then the address.
    const raw = rawIp(via);
    const value = new Uint8Array(2 + raw.length);
    new DataView(value.buffer).setUint16(0, ipv4 ? AF_INET6 : AF_INET, true);
    value.set(raw, 2);
    result.attribute(RTA_VIA, value);
  }
  if (route.source) result.attribute(RTA_PREFSRC, rawIp(route.source));
  if (route.priority !== undefined) result.u32(RTA_PRIORITY, route.priority);
  if (route.mtu !== undefined) {
    const mtu = route.mtu;
    result.nest(RTA_METRICS, (metrics) => metrics.u32(RTAX_MTU, mtu));
  }
  return result;
}

/** The route in words, as iproute2 would have it. */
export function formatRoute({ destination, via, ifindex, table }: Route): string {
  return formatCidr(destination) +
    (via ? ` via ${formatIp(via)}` : "") +
    (ifindex === undefined ? "" : ` dev ${ifindex}`) +
    (table === undefined || table === TABLE_MAIN ? "" : ` table ${table}`);
}

/** Adds a route or replaces the one of the same destination, priority and table. Throws KernelError. */
export function replaceRoute(netlink: NetlinkSocket, route: Route): void {
  netlink.request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, body(route), {
    operation: "set route",
    target: formatRoute(route),
  });
}

/** Deletes a route. Returns false when it was not there. */
export function deleteRoute(netlink: NetlinkSocket, route: Route): boolean {
  return deleteIfThere(() =>
    netlink.request(RTM_DELROUTE, 0, body({ scope: SCOPE_NOWHERE, protocol: 0, ...route }), {
      operation: "delete route",
      target: formatRoute(route),
    })
  );
}

export interface RouteFilter {
  /** @default {TABLE_MAIN} */
  table?: number | "all";
  ifindex?: number;
}

/** The routes of one table or all, both families; `ifindex` means a device of any of their next hops. */
export function listRoutes(
  netlink: NetlinkSocket,
  { table = TABLE_MAIN, ifindex }: RouteFilter = {},
): Route[] {
  const routes: Route[] = [];
  for (const family of [AF_INET, AF_INET6]) {
    const request = new NetlinkBody().struct(RTMSG_SIZE, (view) => view.setUint8(0, family));
    // the kernel chooses: all of them would have to be read otherwise
    if (ifindex !== undefined) request.u32(RTA_OIF, ifindex);
    for (const row of dumpRoutes(netlink, request)) {
      const route = parseRoute(row);
      if (!route || table !== "all" && route.table !== table) continue;
      if (ifindex !== undefined && !nextHopsOf(route).some((hop) => hop.ifindex === ifindex)) {
        continue;
      }
      routes.push(route);
    }
  }
  return routes;
}

/** The next hops of a route, one or several; none where it leads to no device. */
export function nextHopsOf({ nextHops, ifindex, via }: Route): NextHop[] {
  if (nextHops) return nextHops;
  return ifindex === undefined ? [] : [{ ifindex, ...(via ? { via } : {}) }];
}

/** None where the device that the request names is gone. */
function dumpRoutes(netlink: NetlinkSocket, request: NetlinkBody): Uint8Array[] {
  try {
    return netlink.dump(RTM_GETROUTE, request, { operation: "list", target: "routes" });
  } catch (error) {
    if (isErrno(error, "ENODEV")) return [];
    throw error;
  }
}

/** The route in the body of a message; undefined for an entry of the cache. Throws TypeError when it is malformed. */
export function parseRoute(bytes: Uint8Array): Route | undefined {
  const view = structOf(bytes, RTMSG_SIZE);
  const flags = view.getUint32(8, true);
  if (flags & RTM_F_CLONED) return undefined;
  const ipv4 = view.getUint8(0) === AF_INET;
  const attributes = parseAttributes(bytes.subarray(RTMSG_SIZE));
  const bits = view.getUint8(1);
  const destination = attributes.get(RTA_DST);
  const nextHops = parseNextHops(attributes.get(RTA_MULTIPATH) ?? new Uint8Array(0));
  const via = gatewayOf(attributes) ?? nextHops[0]?.via;
  const ifindex = attributeNumber(attributes.get(RTA_OIF)) ?? nextHops[0]?.ifindex;
  const source = attributes.get(RTA_PREFSRC);
  const metrics = attributes.get(RTA_METRICS);
  const mtu = metrics ? attributeNumber(parseAttributes(metrics).get(RTAX_MTU)) : undefined;
  const priority = attributeNumber(attributes.get(RTA_PRIORITY));
  return {
    destination: {
      address: destination ? ipFromRaw(destination) : parseIp(ipv4 ? "0.0.0.0" : "::"),
      prefixLength: ipv4 ? bits + IPV4_PREFIX_BITS : bits,
    },
    type: ROUTE_TYPES[view.getUint8(7)] ?? "unspec",
    table: attributeNumber(attributes.get(RTA_TABLE)) ?? view.getUint8(4),
    protocol: view.getUint8(5),
    scope: view.getUint8(6),
    onlink: (flags & RTNH_F_ONLINK) !== 0,
    ...(ifindex === undefined ? {} : { ifindex }),
    ...(via ? { via } : {}),
    ...(nextHops.length > 0 ? { nextHops } : {}),
    ...(source ? { source: ipFromRaw(source) } : {}),
    ...(mtu === undefined ? {} : { mtu }),
    ...(priority === undefined ? {} : { priority }),
  };
}

function gatewayOf(attributes: Map<number, Uint8Array>): Uint8Array<ArrayBuffer> | undefined {
  const raw = attributes.get(RTA_GATEWAY) ?? attributes.get(RTA_VIA)?.subarray(2);
  return raw && ipFromRaw(raw);
}

/** Each is a struct rtnexthop, of the length that it says, with attributes behind it. */
function parseNextHops(bytes: Uint8Array): NextHop[] {
  const hops: NextHop[] = [];
  for (let rest = bytes; rest.length > 0;) {
    const view = structOf(rest, RTNEXTHOP_SIZE);
    const length = view.getUint16(0, true);
    if (length < RTNEXTHOP_SIZE || length > rest.length) {
      throw new TypeError(`Netlink next hop says ${length} bytes, and ${rest.length} are there`);
    }
    const via = gatewayOf(parseAttributes(rest.subarray(RTNEXTHOP_SIZE, length)));
    hops.push({ ifindex: view.getInt32(4, true), ...(via ? { via } : {}) });
    rest = rest.subarray(length + 3 & ~3);
  }
  return hops;
}
