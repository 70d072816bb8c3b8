/** What pilus has put into the kernel: programs, maps, devices, routes and addresses. */

import {
  BpfLink,
  features,
  isBpffs,
  type MapDescriptor,
  openTc,
  TypedMap,
  unpin,
} from "../../../datapath/bpf/mod.ts";
import { maps } from "../../../datapath/maps/generated.ts";
import { deleteAddress, listAddresses } from "../../../datapath/net/address.ts";
import { equalIp, formatCidr, formatIp } from "../../../datapath/net/ip.ts";
import { deleteLink, findLink, type Link, listLinks } from "../../../datapath/net/link.ts";
import type { NetlinkSocket } from "../../../datapath/net/netlink.ts";
import { deleteQdisc } from "../../../datapath/net/qdisc.ts";
import { readSysctl } from "../../../datapath/net/netns.ts";
import { deleteRoute, listRoutes } from "../../../datapath/net/route.ts";
import { withExpeditedGracePeriods } from "../../../datapath/rcu.ts";
import { TUNNEL_DEVICE } from "../config.ts";
import { HOST_IFNAME } from "../endpoints/plumbing.ts";
import { reservation } from "../services/reserved_ports.ts";
import { ROUTE_PROTOCOL } from "../nodes/route_target.ts";
import { fileInfo, namesIn } from "../../core/missing_files.ts";
import { ownQdisc } from "../bandwidth/fq_target.ts";
import { directoryRemoval } from "./paths.ts";
import type { Left, Removal, UninstallPlan } from "./removal.ts";

/** Sysctls that the agent sets, with their values. */
const SYSCTLS = [
  ["net.ipv4.ip_forward", "1"],
  ["net.ipv6.conf.all.forwarding", "1"],
  ["net.ipv4.conf.all.rp_filter", "0"],
] as const;

/** `podOf` names the pod behind a device, for people. All pins below `bpffs` are pilus's. */
export function kernelPlan(
  netlink: NetlinkSocket,
  bpffs: string,
  podOf: (device: string) => string | undefined,
  runDir: string,
): UninstallPlan {
  const ours = isBpffs(bpffs);
  const filters = ours ? clsactFilters(`${bpffs}/maps`) : [];
  const removals = [
    ...ours ? links(`${bpffs}/links`) : [],
    ...filters,
    ...podDevices(netlink, podOf),
    ...tunnel(netlink),
    ...queues(netlink),
    ...routes(netlink),
    ...routerAddresses(netlink, `${bpffs}/maps`),
    ...reservedPorts(runDir),
    ...ours ? pinnedMaps(`${bpffs}/maps`) : [],
    ...ours ? pinDirectories(bpffs) : [],
  ];
  const left: Left[] = SYSCTLS.filter(([name, value]) => readSysctl(pathOf(name)) === value)
    .map(([name, value]) => ({ what: `${name} = ${value}`, why: "others may need it by now" }));
  if (filters.length > 0) {
    left.push({ what: "clsact qdiscs of devices", why: "others may have filters there" });
  }
  return { removals, left };
}

function pathOf(sysctl: string): string {
  return sysctl.replace("net.", "").replaceAll(".", "/");
}

function reservedPorts(runDir: string): Removal[] {
  const reserved = reservation(runDir);
  if (!reserved) return [];
  const { ports, release } = reserved;
  const what = `net.ipv4.ip_local_reserved_ports: ${ports}`;
  return [{ kind: "sysctl", what, remove: release }];
}

function links(directory: string): Removal[] {
  return namesIn(directory).map((name) => ({
    kind: "program",
    what: `${directory}/${name}`,
    remove: () =>
      withExpeditedGracePeriods(() => {
        using link = BpfLink.tryOpenPinned(`${directory}/${name}`);
        link?.detach();
      }),
  }));
}

/** Before tcx, programs are filters of devices, without pins. */
function clsactFilters(directory: string): Removal[] {
  if (features().tcx) return [];
  using devices = openMap(directory, maps.pilus_devices);
  const ifindexes = devices ? [...devices.used()].map(([, { ifindex }]) => ifindex) : [];
  return ifindexes.flatMap((ifindex) =>
    (["ingress", "egress"] as const).filter((direction) =>
      openTc({ ifindex, direction, mode: "clsact" }) !== undefined
    ).map((direction): Removal => ({
      kind: "program",
      what: `filter at the ${direction} of interface ${ifindex}`,
      remove: () => openTc({ ifindex, direction, mode: "clsact" })?.detach(),
    }))
  );
}

function podLinks(netlink: NetlinkSocket): Link[] {
  return listLinks(netlink).filter(({ name, kind }) => kind === "veth" && HOST_IFNAME.test(name));
}

function podDevices(
  netlink: NetlinkSocket,
  podOf: (device: string) => string | undefined,
): Removal[] {
  return podLinks(netlink).map(({ name }) => {
    const pod = podOf(name);
    return {
      kind: "pod",
      what: pod ? `${name} (${pod})` : name,
      remove: () => void deleteLink(netlink, name),
    };
  });
}

function tunnel(netlink: NetlinkSocket): Removal[] {
  if (findLink(netlink, TUNNEL_DEVICE)?.kind !== "vxlan") return [];
  return [{
    kind: "device",
    what: TUNNEL_DEVICE,
    remove: () => void deleteLink(netlink, TUNNEL_DEVICE),
  }];
}

function queues(netlink: NetlinkSocket): Removal[] {
  return listLinks(netlink).flatMap(({ name, ifindex }) => {
    const own = ownQdisc(netlink, ifindex);
    const remove = () => {
      const now = ownQdisc(netlink, ifindex);
      if (now) deleteQdisc(netlink, now);
    };
    return own ? [{ kind: "queue", what: `${own.kind} of ${name}`, remove }] : [];
  });
}

function routes(netlink: NetlinkSocket): Removal[] {
  return listRoutes(netlink).filter(({ protocol }) => protocol === ROUTE_PROTOCOL)
    .map((route) => ({
      kind: "route",
      what: formatCidr(route.destination),
      remove: () => {
        // the tunnel device has taken its routes along
        if (route.ifindex && !findLink(netlink, route.ifindex)) return;
        deleteRoute(netlink, route);
      },
    }));
}

/** The node's row says which addresses of lo are the router's, and so do the sources of routes to pods. */
function routerAddresses(netlink: NetlinkSocket, directory: string): Removal[] {
  const lo = findLink(netlink, "lo");
  if (!lo) return [];
  using node = openMap(directory, maps.pilus_node);
  const row = node?.get(0);
  const pods = new Set(podLinks(netlink).map(({ ifindex }) => ifindex));
  const routers = [
    ...row ? [row.routerIpv4, row.routerIpv6] : [],
    ...listRoutes(netlink).filter(({ ifindex }) => pods.has(ifindex ?? 0))
      .map(({ source }) => source).filter((source) => source !== undefined),
  ];
  return listAddresses(netlink, { ifindex: lo.ifindex })
    .filter(({ cidr }) => routers.some((router) => equalIp(router, cidr.address)))
    .map(({ cidr }) => ({
      kind: "address",
      what: `${formatIp(cidr.address)} of lo`,
      remove: () => void deleteAddress(netlink, { ifindex: lo.ifindex, cidr }),
    }));
}

function pinnedMaps(directory: string): Removal[] {
  return namesIn(directory).map((name) => ({
    kind: "map",
    what: `${directory}/${name}`,
    remove: () => void unpin(`${directory}/${name}`),
  }));
}

function pinDirectories(bpffs: string): Removal[] {
  return [`${bpffs}/links`, `${bpffs}/maps`, bpffs].filter((path) => fileInfo(path)).map(
    directoryRemoval,
  );
}

function openMap<Key, Value>(directory: string, descriptor: MapDescriptor<Key, Value>) {
  const path = `${directory}/${descriptor.name}`;
  return fileInfo(path) ? TypedMap.openPinned(path, descriptor) : undefined;
}
