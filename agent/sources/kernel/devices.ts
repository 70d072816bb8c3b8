/** The node's own devices: where packets come in, and whose addresses pods take outside. */

import { type LinkAddress, SCOPE_UNIVERSE } from "../../../datapath/net/address.ts";
import { formatIp, isIpv4 } from "../../../datapath/net/ip.ts";
import type { Link } from "../../../datapath/net/link.ts";
import { formatMac } from "../../../datapath/net/mac.ts";
import { derive } from "../../core/derive.ts";
import { Table } from "../../core/table.ts";
import type { KernelFacts } from "./kernel_facts.ts";

const MAC_LENGTH = 6;

export interface NodeDevice {
  name: string;
  ifindex: number;
  mtu: number;
  /** As text. */
  mac: string;
  /** The global address of each family that is likeliest to stay. */
  ipv4?: string;
  ipv6?: string;
}

/** The facts that devices follow from. */
export type DeviceFacts = Pick<KernelFacts, "links" | "addresses" | "defaultRoutes">;

/**
 * Keeps a table of the named devices in that order, or of those that have a default route. A device
 * that is not there is not in the table, nor is one without Ethernet header, which the programs read.
 */
export function deriveDevices(
  facts: DeviceFacts,
  names: readonly string[],
): { devices: Table<NodeDevice> } & Disposable {
  const devices = new Table<NodeDevice>({ name: "node-devices", key: ({ name }) => name });
  const derivation = derive(
    [facts.links, facts.addresses, facts.defaultRoutes],
    () => chosenLinks(facts, names).filter(hasEthernet).map((link) => deviceOf(facts, link)),
    devices,
  );
  return { devices, [Symbol.dispose]: () => derivation[Symbol.dispose]() };
}

/** Names of those among them that have no Ethernet header, such as of WireGuard, TUN and PPP. */
export function devicesWithoutEthernet(facts: DeviceFacts, names: readonly string[]): string[] {
  return chosenLinks(facts, names).filter((link) => !hasEthernet(link)).map(({ name }) => name);
}

/** Throws Error that names the fix when a named device is not there or cannot be, or there is none. */
export function requireDevices(
  devices: Table<NodeDevice>,
  facts: DeviceFacts,
  names: readonly string[],
): void {
  const [bare] = devicesWithoutEthernet(facts, names);
  if (bare !== undefined && (names.length > 0 || devices.size === 0)) {
    throw new Error(
      `Cannot use device ${bare}: it has no Ethernet header; name others by --device`,
    );
  }
  for (const name of names) {
    if (!devices.has(name)) {
      throw new Error(`Cannot use device ${name}: there is none; see \`ip link\``);
    }
  }
  if (devices.size === 0) {
    throw new Error(
      "Cannot tell the node's devices: none has a default route; name them by --device",
    );
  }
}

function chosenLinks({ links, defaultRoutes }: DeviceFacts, names: readonly string[]): Link[] {
  if (names.length === 0) {
    const indexes = new Set(defaultRoutes.rows().map(({ ifindex }) => ifindex));
    return [...indexes].map((ifindex) => links.get(String(ifindex))).filter((l) => l !== undefined);
  }
  const byName = new Map(links.rows().map((link) => [link.name, link]));
  return names.map((name) => byName.get(name)).filter((link) => link !== undefined);
}

function hasEthernet({ mac }: Link): boolean {
  return mac.length === MAC_LENGTH;
}

function deviceOf({ addresses }: DeviceFacts, { name, ifindex, mtu, mac }: Link): NodeDevice {
  const device: NodeDevice = { name, ifindex, mtu, mac: formatMac(mac) };
  const global = addresses.rows().filter((row) =>
    row.ifindex === ifindex && row.scope === SCOPE_UNIVERSE
  );
  const ipv4 = likeliestToStay(global.filter(({ cidr }) => isIpv4(cidr.address)));
  // the kernel lists the newest first, a notice comes last: neither says anything
  const ipv6 = likeliestToStay(
    global.filter(({ cidr }) => !isIpv4(cidr.address)).sort((a, b) =>
      formatIp(a.cidr.address) < formatIp(b.cidr.address) ? -1 : 1
    ),
  );
  if (ipv4) device.ipv4 = formatIp(ipv4.cidr.address);
  if (ipv6) device.ipv6 = formatIp(ipv6.cidr.address);
  return device;
}

/**
 * The first of the best: one that is in use already and to be used further on, and with a network to
 * it. An address alone may be a service's (VRRP), which another node has tomorrow.
 */
function likeliestToStay(rows: readonly LinkAddress[]): LinkAddress | undefined {
  const doubts = ({ cidr, tentative, deprecated, secondary }: LinkAddress) =>
    [tentative, deprecated, secondary, cidr.prefixLength === 128]
      .reduce((sum, doubt) => sum * 2 + Number(doubt), 0);
  const [first, ...others] = rows;
  return others.reduce((best, row) => best && doubts(row) < doubts(best) ? row : best, first);
}
