/** Network devices: veth, vxlan, and what all links share. Constants: include/uapi/linux/if_link.h, if.h. */

import { isErrno } from "../bpf/kernel_error.ts";
import { deleteIfThere, type NetlinkSocket, NLM_F_CREATE, NLM_F_EXCL } from "./netlink.ts";
import {
  attributeNumber,
  attributeString,
  NetlinkBody,
  parseAttributes,
  structOf,
} from "./netlink_message.ts";

const RTM_NEWLINK = 16, RTM_DELLINK = 17, RTM_GETLINK = 18, RTM_SETLINK = 19;
const IFLA_ADDRESS = 1, IFLA_IFNAME = 3, IFLA_MTU = 4, IFLA_LINK = 5, IFLA_MASTER = 10;
const IFLA_OPERSTATE = 16, IFLA_LINKINFO = 18, IFLA_GROUP = 27, IFLA_NET_NS_FD = 28;
const IFLA_EXT_MASK = 29;
const IFLA_XDP = 43, IFLA_XDP_FD = 1, IFLA_XDP_ATTACHED = 2, IFLA_XDP_FLAGS = 3;
const IFLA_XDP_PROG_ID = 4;
const XDP_FLAGS_UPDATE_IF_NOEXIST = 1;
const IFLA_INFO_KIND = 1, IFLA_INFO_DATA = 2;
const RTEXT_FILTER_SKIP_STATS = 8;
const VETH_INFO_PEER = 1;
const IFLA_VXLAN_LEARNING = 7, IFLA_VXLAN_PORT = 15, IFLA_VXLAN_UDP_ZERO_CSUM6_TX = 19;
const IFLA_VXLAN_UDP_ZERO_CSUM6_RX = 20, IFLA_VXLAN_COLLECT_METADATA = 25;
const IFINFOMSG_SIZE = 16;
const OPERSTATES = [
  "unknown",
  "notpresent",
  "down",
  "lowerlayerdown",
  "testing",
  "dormant",
  "up",
] as const;

/** How an XDP program is held, by XDP_ATTACHED_… of if_link.h. */
const XDP_MODES = ["none", "native", "generic", "offloaded", "several"] as const;

/** Where a device runs its XDP program. */
export type XdpMode = typeof XDP_MODES[number];

/** Device flags, include/uapi/linux/if.h. */
export const IFF_UP = 0x1, IFF_NOARP = 0x80, IFF_LOWER_UP = 0x10000;

/** The longest name of a device in bytes (IFNAMSIZ - 1). */
const MAX_IFNAME_LENGTH = 15;

/** A device as the kernel has it. */
export interface Link {
  ifindex: number;
  name: string;
  /** Ethernet address, empty where the kind has none. */
  mac: Uint8Array;
  mtu: number;
  /** IFF_… */
  flags: number;
  operstate: typeof OPERSTATES[number];
  /** "veth", "vxlan", …; empty for physical devices and lo. */
  kind: string;
  /** Of a veth: the peer's ifindex, in its own namespace. */
  peerIfindex?: number;
  /** Of a vxlan: its UDP port in host order. */
  vxlanPort?: number;
  /** The bridge or bond above. */
  master?: number;
  xdp: XdpMode;
  /** The number of its XDP program; 0: none, or several. */
  xdpProgram: number;
}

/** Throws TypeError unless `name` can be a device's name: 1 to 15 bytes, no slash, colon or white space. */
export function checkIfname(name: string): void {
  // deno-lint-ignore no-control-regex
  const bad = /[\s/:\0-\x1f\x7f]/.test(name) || name === "." || name === "..";
  if (bad || name === "" || new TextEncoder().encode(name).length > MAX_IFNAME_LENGTH) {
    throw new TypeError(
      `Not a device name: ${JSON.stringify(name)}: it takes 1 to ${MAX_IFNAME_LENGTH} bytes ` +
        "without slash, colon and white space",
    );
  }
}

interface Header {
  ifindex?: number;
  flags?: number;
  /** Which of the flags count. */
  change?: number;
}

function header(body: NetlinkBody, { ifindex = 0, flags = 0, change = 0 }: Header = {}) {
  return body.struct(IFINFOMSG_SIZE, (view) => {
    view.setInt32(4, ifindex, true);
    view.setUint32(8, flags, true);
    view.setUint32(12, change, true);
  });
}

/** How a device is named in a request: by number or by name. */
export type LinkReference = number | string;

function reference(link: LinkReference, rest: Omit<Header, "ifindex"> = {}): NetlinkBody {
  if (typeof link === "number") return header(new NetlinkBody(), { ...rest, ifindex: link });
  checkIfname(link);
  return header(new NetlinkBody(), rest).string(IFLA_IFNAME, link);
}

/** The device in the body of a message. Throws TypeError when it is malformed. */
export function parseLink(body: Uint8Array): Link {
  const view = structOf(body, IFINFOMSG_SIZE);
  const attributes = parseAttributes(body.subarray(IFINFOMSG_SIZE));
  const infoBytes = attributes.get(IFLA_LINKINFO);
  const info = infoBytes ? parseAttributes(infoBytes) : undefined;
  const kind = attributeString(info?.get(IFLA_INFO_KIND)) ?? "";
  const peer = attributeNumber(attributes.get(IFLA_LINK));
  const master = attributeNumber(attributes.get(IFLA_MASTER));
  const xdpBytes = attributes.get(IFLA_XDP);
  const xdpAttributes = xdpBytes && parseAttributes(xdpBytes);
  const xdp = attributeNumber(xdpAttributes?.get(IFLA_XDP_ATTACHED)) ?? 0;
  return {
    ifindex: view.getInt32(4, true),
    name: attributeString(attributes.get(IFLA_IFNAME)) ?? "",
    mac: attributes.get(IFLA_ADDRESS) ?? new Uint8Array(0),
    mtu: attributeNumber(attributes.get(IFLA_MTU)) ?? 0,
    flags: view.getUint32(8, true),
    operstate: OPERSTATES[attributeNumber(attributes.get(IFLA_OPERSTATE)) ?? 0] ?? "unknown",
    kind,
    ...(kind === "vxlan" ? { vxlanPort: vxlanPort(info?.get(IFLA_INFO_DATA)) } : {}),
    ...(peer === undefined ? {} : { peerIfindex: peer }),
    ...(master === undefined ? {} : { master }),
    xdp: XDP_MODES[xdp] ?? "several",
    xdpProgram: attributeNumber(xdpAttributes?.get(IFLA_XDP_PROG_ID)) ?? 0,
  };
}

/** The number is in network order, unlike others; 0: there is none. */
function vxlanPort(data: Uint8Array = new Uint8Array(0)): number {
  const port = parseAttributes(data).get(IFLA_VXLAN_PORT);
  return port ? structOf(port, 2).getUint16(0) : 0;
}

/** The device, or undefined when there is none of that name or number. */
export function findLink(netlink: NetlinkSocket, link: LinkReference): Link | undefined {
  try {
    return getLink(netlink, link);
  } catch (error) {
    if (isErrno(error, "ENODEV")) return undefined;
    throw error;
  }
}

/** The device. Throws KernelError ENODEV when there is none of that name or number. */
export function getLink(netlink: NetlinkSocket, link: LinkReference): Link {
  const body = reference(link).u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  return parseLink(netlink.get(RTM_GETLINK, body, { operation: "read link", target: `${link}` }));
}

/** All devices of the socket's namespace. */
export function listLinks(netlink: NetlinkSocket): Link[] {
  const body = header(new NetlinkBody()).u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  return netlink.dump(RTM_GETLINK, body, { operation: "list", target: "links" }).map(parseLink);
}

export interface VethOptions {
  /** The device in the socket's namespace. */
  name: string;
  mac?: Uint8Array;
  /** The number that the device shall have. Creation fails with EEXIST or EBUSY when it is taken. */
  ifindex?: number;
  /** MTU of both ends in bytes. */
  mtu: number;
  peer: {
    name: string;
    mac?: Uint8Array;
    /** The namespace that the peer is born in; the socket's own by default. */
    netns?: number;
  };
}

/** Makes a veth pair, both ends down. Throws KernelError EEXIST when a name is taken. */
export function createVeth(
  netlink: NetlinkSocket,
  { name, mac, ifindex, mtu, peer }: VethOptions,
): void {
  checkIfname(name);
  checkIfname(peer.name);
  const body = header(new NetlinkBody(), ifindex === undefined ? {} : { ifindex });
  body.string(IFLA_IFNAME, name).u32(IFLA_MTU, mtu);
  if (mac) body.attribute(IFLA_ADDRESS, mac);
  body.nest(IFLA_LINKINFO, (info) => {
    info.string(IFLA_INFO_KIND, "veth").nest(IFLA_INFO_DATA, (data) => {
      data.nest(VETH_INFO_PEER, (other) => {
        header(other).string(IFLA_IFNAME, peer.name).u32(IFLA_MTU, mtu);
        if (peer.mac) other.attribute(IFLA_ADDRESS, peer.mac);
        if (peer.netns !== undefined) other.u32(IFLA_NET_NS_FD, peer.netns);
      });
    });
  });
  netlink.request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body, {
    operation: "create veth",
    target: `${name} with peer ${peer.name}`,
  });
}

export interface VxlanOptions {
  name: string;
  /** UDP port in host order. */
  port: number;
  mtu: number;
  mac?: Uint8Array;
  /** The number that the device shall have. Creation fails with EEXIST or EBUSY when it is taken. */
  ifindex?: number;
}

/**
 * Makes a vxlan device of the "external" kind: VNI and remote address are set per packet by BPF.
 * It is down and does no ARP. IPv6 underlays send and take packets without UDP checksum, as BPF
 * programs decide per packet. Throws KernelError.
 */
export function createVxlan(
  netlink: NetlinkSocket,
  { name, port, mtu, mac, ifindex = 0 }: VxlanOptions,
): void {
  checkIfname(name);
  const body = header(new NetlinkBody(), { ifindex, flags: IFF_NOARP, change: IFF_NOARP })
    .string(IFLA_IFNAME, name).u32(IFLA_MTU, mtu);
  if (mac) body.attribute(IFLA_ADDRESS, mac);
  body.nest(IFLA_LINKINFO, (info) => {
    info.string(IFLA_INFO_KIND, "vxlan").nest(IFLA_INFO_DATA, (data) => {
      data.u8(IFLA_VXLAN_COLLECT_METADATA, 1).u8(IFLA_VXLAN_LEARNING, 0)
        .u16be(IFLA_VXLAN_PORT, port)
        .u8(IFLA_VXLAN_UDP_ZERO_CSUM6_TX, 1).u8(IFLA_VXLAN_UDP_ZERO_CSUM6_RX, 1);
    });
  });
  netlink.request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body, {
    operation: "create vxlan",
    target: `${name} on port ${port}`,
    hint: "EEXIST is a device of that name or another vxlan on that port",
  });
}

/** Makes a bridge, down and without ports. Throws KernelError EEXIST when the name is taken. */
export function createBridge(netlink: NetlinkSocket, name: string): void {
  checkIfname(name);
  const body = header(new NetlinkBody()).string(IFLA_IFNAME, name);
  body.nest(IFLA_LINKINFO, (info) => info.string(IFLA_INFO_KIND, "bridge"));
  netlink.request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body, {
    operation: "create bridge",
    target: name,
  });
}

/** What can be changed on a device; what is left out stays. */
export interface LinkChange {
  up?: boolean;
  mtu?: number;
  mac?: Uint8Array;
  /** Needs the device down on older kernels. */
  name?: string;
  /** ifindex of the bridge that it becomes a port of. */
  master?: number;
  /** File descriptor of the namespace to move to. */
  netns?: number;
  /** Number of the group that it becomes a member of; 0 is that of every device. */
  group?: number;
}

/** Changes a device. Throws KernelError. */
export function setLink(
  netlink: NetlinkSocket,
  link: LinkReference,
  { up, mtu, mac, name, master, netns, group }: LinkChange,
): void {
  if (name !== undefined && typeof link === "string") link = getLink(netlink, link).ifindex;
  const body = reference(link, up === undefined ? {} : { flags: up ? IFF_UP : 0, change: IFF_UP });
  if (mtu !== undefined) body.u32(IFLA_MTU, mtu);
  if (mac) body.attribute(IFLA_ADDRESS, mac);
  if (name !== undefined) {
    checkIfname(name);
    body.string(IFLA_IFNAME, name);
  }
  if (master !== undefined) body.u32(IFLA_MASTER, master);
  if (netns !== undefined) body.u32(IFLA_NET_NS_FD, netns);
  if (group !== undefined) body.u32(IFLA_GROUP, group);
  netlink.request(RTM_SETLINK, 0, body, { operation: "change link", target: `${link}` });
}

/**
 * Puts an XDP program on a device, or takes off (`fd` -1) the one that was put there like this. Links
 * are for keeping; this way the kernel says in words why it refuses. Throws KernelError.
 */
export function setXdp(
  netlink: NetlinkSocket,
  link: LinkReference,
  fd: number,
  modeFlag: number,
): void {
  const body = reference(link).nest(IFLA_XDP, (xdp) => {
    xdp.u32(IFLA_XDP_FD, fd >>> 0);
    xdp.u32(IFLA_XDP_FLAGS, modeFlag | (fd < 0 ? 0 : XDP_FLAGS_UPDATE_IF_NOEXIST));
  });
  netlink.request(RTM_SETLINK, 0, body, { operation: "set XDP program of", target: `${link}` });
}

/** Deletes a device (of a veth: both ends). Returns false when it was not there. */
export function deleteLink(netlink: NetlinkSocket, link: LinkReference): boolean {
  return deleteIfThere(() =>
    netlink.request(RTM_DELLINK, 0, reference(link), {
      operation: "delete link",
      target: `${link}`,
    })
  );
}

/**
 * As `deleteLink` on another thread: the kernel waits for all CPUs to let go of a device, which
 * takes it tens of milliseconds. The socket must not be used until the promise settles.
 */
export async function deleteLinkElsewhere(
  netlink: NetlinkSocket,
  link: LinkReference,
): Promise<boolean> {
  try {
    await netlink.requestElsewhere(RTM_DELLINK, 0, reference(link), {
      operation: "delete link",
      target: `${link}`,
    });
    return true;
  } catch (error) {
    if (isErrno(error, "ENODEV")) return false;
    throw error;
  }
}

/** Deletes all devices of a group, which is not 0, as `deleteLinkElsewhere` does one. Throws KernelError. */
export async function deleteLinkGroupElsewhere(
  netlink: NetlinkSocket,
  group: number,
): Promise<void> {
  await netlink.requestElsewhere(RTM_DELLINK, 0, header(new NetlinkBody()).u32(IFLA_GROUP, group), {
    operation: "delete links",
    target: `group ${group}`,
  });
}
