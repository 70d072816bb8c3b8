/** What may happen to a node behind its agent's back. */

import { assertEquals } from "@std/assert";
import { TUNNEL_DEVICE } from "../../agent/node/config.ts";
import type { Lab, LabHost, LabNode, LabPod } from "../../cli/lab/lab.ts";
import { BpfLink } from "../../datapath/bpf/mod.ts";
import { umount } from "../../datapath/bpf/ffi/libc.ts";
import { libbpf } from "../../datapath/bpf/ffi/libbpf.ts";
import { createVeth, deleteLink, findLink, getLink, setLink } from "../../datapath/net/link.ts";
import { formatMac } from "../../datapath/net/mac.ts";
import { openNamespace } from "../../datapath/net/netns.ts";

/** The lab's router, on its wire. */
const GATEWAY = { ipv4: "192.168.60.254", ipv6: "fd00:60::fe" };

async function run(host: LabHost, ...words: string[]): Promise<void> {
  const { code, stderr } = await host.exec(words);
  assertEquals(code, 0, `${words.join(" ")}: ${stderr}`);
}

function linksOf(node: LabNode): string {
  return `${node.directory}/bpf/pilus/links`;
}

/** What `bpftool link detach` does: the links stay pinned and are attached to nothing. */
export function detachLinks(node: LabNode, wanted: (pin: string) => boolean): void {
  const directory = linksOf(node);
  for (const { name } of Deno.readDirSync(directory)) {
    if (!wanted(name)) continue;
    using link = BpfLink.openPinned(`${directory}/${name}`);
    assertEquals(libbpf.bpf_link_detach(link.fd), 0, name);
  }
}

/** The tc programs of a device, by the name that its pins have. */
export function detachDevice(node: LabNode, device: string): void {
  detachLinks(node, (pin) => pin === `${device}-ingress` || pin === `${device}-egress`);
}

export function removePins(node: LabNode): void {
  for (const { name } of Deno.readDirSync(linksOf(node))) {
    Deno.removeSync(`${linksOf(node)}/${name}`);
  }
}

export function unmountBpffs(node: LabNode): void {
  umount(`${node.directory}/bpf`, 2);
}

export function deleteTunnel(node: LabNode): Promise<void> {
  return run(node, "ip", "link", "del", TUNNEL_DEVICE);
}

export function downTunnel(node: LabNode): Promise<void> {
  return run(node, "ip", "link", "set", TUNNEL_DEVICE, "down");
}

/** @param name below net., with dots */
export function clearSysctl(node: LabNode, name: string): Promise<void> {
  return run(node, "sysctl", "-qw", `net.${name}=0`);
}

/** The node's own address in its pod CIDRs, which pods have as router. */
export async function removeRouterAddress(node: LabNode, family: 4 | 6): Promise<void> {
  const [ipv4, ipv6] = node.podCidrs.map((cidr) => cidr.replace(/0\/24$|\/64$/, "1"));
  const address = family === 4 ? `${ipv4}/32` : `${ipv6}/128`;
  await run(node, "ip", "addr", "del", address, "dev", "lo");
}

export function deletePodDevice(node: LabNode, pod: LabPod): Promise<void> {
  return run(node, "ip", "link", "del", pod.hostDevice);
}

/** Makes eth0 anew with its MAC, as of bonds and VLANs; others' neighbour tables still have it. */
export async function renewDevice(lab: Lab, node: LabNode): Promise<void> {
  const { mac } = node.netlink((netlink) => findLink(netlink, "eth0"))!;
  using namespace = openNamespace(node.netns);
  lab.wire.netlink((netlink) => {
    deleteLink(netlink, node.name);
    createVeth(netlink, {
      name: node.name,
      mtu: 1500,
      peer: { name: "eth0", netns: namespace.fd },
    });
    setLink(netlink, node.name, { master: getLink(netlink, "wire").ifindex, up: true });
  });
  await run(node, "ip", "link", "set", "eth0", "address", formatMac(mac), "up");
  await run(node, "ip", "addr", "add", `${node.ipv4}/24`, "dev", "eth0");
  await run(node, "ip", "addr", "add", `${node.ipv6}/64`, "dev", "eth0", "nodad");
  await run(node, "ip", "route", "add", "default", "via", GATEWAY.ipv4);
  await run(node, "ip", "route", "add", "default", "via", GATEWAY.ipv6);
}
