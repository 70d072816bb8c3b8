/**
 * The XDP program on a device of the node: in the driver where that can, after it where it cannot,
 * and where neither works the tc program of the device does the same work.
 */

import { attachXdp, BpfLink, type BpfProgram, LinkType, unpin, XdpFlag } from "./bpf/mod.ts";
import { isErrno, KernelError } from "./bpf/kernel_error.ts";
import { driverOf } from "./net/ethtool.ts";
import { getLink, type Link, setXdp } from "./net/link.ts";
import { NetlinkSocket } from "./net/netlink.ts";
import { detachStale } from "./stale_links.ts";

/** What an operator may ask for; `auto` is `best` except on a veth. */
const XDP_CHOICES = ["auto", "best", "native", "generic", "off"] as const;

export type XdpChoice = typeof XDP_CHOICES[number];

/** Where packets of a device meet the prefilter and the load balancer first. */
export interface XdpDeviceState {
  device: string;
  mode: "native" | "generic" | "tc";
  /** Why it is this one, in words. */
  reason: string;
}

/** Options for {@linkcode attachXdpDevice}. */
export interface XdpDeviceOptions {
  /** In the calling thread's network namespace. */
  ifindex: number;
  /** Where the link is pinned, on a bpffs. */
  pin: string;
  choice: XdpChoice;
}

/** Attaches the program, or puts it in the place of an earlier one, and says where it runs now. */
export function attachXdpDevice(
  program: BpfProgram,
  { ifindex, pin, choice }: XdpDeviceOptions,
): XdpDeviceState {
  using netlink = NetlinkSocket.open();
  const link = getLink(netlink, ifindex);
  const driver = driverOf(link.name) ?? (link.kind || link.name);
  const state = (mode: XdpDeviceState["mode"], reason: string) => ({
    device: link.name,
    mode,
    reason,
  });
  removeStale(link, pin);
  if (choice === "off") {
    detachXdpDevice(pin);
    return state("tc", "XDP is switched off by --xdp off");
  }
  // between namespaces of one machine checksums are left to a wire that never comes
  if (choice === "auto" && driver === "veth") {
    detachXdpDevice(pin);
    return state("tc", "veth leaves checksums unfinished, which XDP cannot see");
  }
  // one that could do better now, or shall not, makes room; tc serves meanwhile
  if (link.xdp !== (choice === "generic" ? "generic" : "native")) detachXdpDevice(pin);

  const refusals: string[] = [];
  const best = choice === "auto" || choice === "best";
  for (const mode of best ? ["native", "generic"] as const : [choice]) {
    try {
      using _link = attachXdp(program, { ifindex, pin, mode });
      const plain = best ? `${driver} runs it` : `chosen by --xdp ${choice}`;
      return state(mode, refusals.join("; ") || plain);
    } catch (error) {
      if (!(error instanceof KernelError) || isErrno(error, "EPERM", "ENODEV")) throw error;
      const words = mode === "native" ? whyNotNative(netlink, link, program, error) : error;
      refusals.push(refusal(mode, driver, link, words));
      // another program of ours or others is in the way of both
      if (isErrno(error, "EBUSY", "EEXIST")) break;
    }
  }
  detachXdpDevice(pin);
  return state("tc", refusals.join("; "));
}

/** Takes the program off. */
export function detachXdpDevice(pin: string): void {
  using link = BpfLink.tryOpenPinned(pin);
  if (!link) return;
  link.detach();
  unpin(pin);
}

/** Takes off the program of an earlier agent that the pin does not hold. */
function removeStale({ ifindex, xdpProgram }: Link, pin: string): void {
  if (xdpProgram === 0) return;
  using pinned = BpfLink.tryOpenPinned(pin);
  detachStale({ linkType: LinkType.XDP, ifindex }, [xdpProgram], pinned?.info().programId ?? 0);
}

/** Attaching by a link fails without a message; by netlink the kernel gives one. */
function whyNotNative(
  netlink: NetlinkSocket,
  link: Link,
  program: BpfProgram,
  error: KernelError,
): KernelError {
  try {
    setXdp(netlink, link.ifindex, program.fd, XdpFlag.DRV_MODE);
  } catch (cause) {
    return cause instanceof KernelError && cause.log ? cause : error;
  }
  setXdp(netlink, link.ifindex, -1, XdpFlag.DRV_MODE); // it was not to succeed
  return error;
}

function refusal(mode: string, driver: string, { mtu }: Link, { code, log }: KernelError): string {
  if (code === "EBUSY" || code === "EEXIST") {
    return "another XDP program is on the device: take it off (ip link set dev NAME xdp off)";
  }
  if (code === "EOPNOTSUPP") return `${driver} has no ${mode} XDP`;
  return `${driver} refuses ${mode} XDP at an MTU of ${mtu}: ${log?.trim() || code}`;
}
