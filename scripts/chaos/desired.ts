/** Whether a node is as desired, by its own word and by what the kernel has. */

import type { StatusView } from "../../agent/api/views.ts";
import type { LabNode } from "../../cli/lab/lab.ts";
import { IFF_UP, listLinks } from "../../datapath/net/link.ts";
import { inNamespace, openNamespace, readSysctl } from "../../datapath/net/netns.ts";
import { listAddresses } from "../../datapath/net/address.ts";
import { formatCidr } from "../../datapath/net/ip.ts";
import { HeldAttachment } from "../../datapath/held_attachment.ts";
import { datapathOf } from "../../tests/lab/left.ts";

const SYSCTLS = ["ipv4/ip_forward", "ipv6/conf/all/forwarding"];

/** What the kernel has of a node, in lines that stay the same when a device is made anew. */
export async function inKernel(node: LabNode): Promise<string[]> {
  const { routes, neighbours, pins, rows } = await datapathOf(node);
  using namespace = openNamespace(node.netns);
  const sysctls = inNamespace(
    namespace.fd,
    () => SYSCTLS.map((name) => `sysctl ${name} ${readSysctl(name)}`),
  );
  const { links, addresses } = node.netlink((netlink) => ({
    links: listLinks(netlink),
    addresses: listAddresses(netlink),
  }));
  const names = new Map(links.map(({ ifindex, name }) => [ifindex, name]));
  return [
    ...links.map(({ name, flags }) => `link ${name} ${flags & IFF_UP ? "up" : "down"}`),
    ...addresses.map(({ ifindex, cidr }) => `address ${formatCidr(cidr)} ${names.get(ifindex)}`)
      .filter((line) => !line.includes("fe80:")),
    ...routes.map((route) => `route ${route.replace(/dev (\d+)/, (_, i) => names.get(+i) ?? i)}`),
    `${neighbours} permanent neighbours`,
    ...pins.map((pin) => `pin ${pin} ${isAttached(node, pin) ? "attached" : "detached"}`),
    ...Object.entries(rows).filter(([name]) => !/sockets|socket_refs/.test(name))
      .map(([name, count]) => `${name} has ${count} rows`),
  ].concat(sysctls).sort();
}

function isAttached(node: LabNode, pin: string): boolean {
  using held = HeldAttachment.pinned([`${node.directory}/bpf/pilus/links/${pin}`]);
  return held.intact();
}

/** What is missing (-) and what is too much (+). */
export function differences(wanted: readonly string[], found: readonly string[]): string[] {
  return [
    ...wanted.filter((line) => !found.includes(line)).map((line) => `- ${line}`),
    ...found.filter((line) => !wanted.includes(line)).map((line) => `+ ${line}`),
  ];
}

/** What status finds wrong. */
export function complaints(node: LabNode, status: StatusView | undefined): string[] {
  if (!status) return [`${node.name} does not answer`];
  const { health, problems, endpoints, reconcilers, lapses } = status;
  return [
    ...health.ok ? [] : [health.reason ?? "not ok"],
    ...problems.map(({ source, message }) => `${source}: ${message}`),
    ...endpoints.ready === endpoints.total ? [] : [`${endpoints.ready} endpoints ready`],
    ...reconcilers.filter(({ pending }) => pending > 0).map(({ name }) => `${name} is pending`),
    ...lapses.filter(({ until }) => !until).map(({ reconciler }) => `${reconciler} is not right`),
  ].map((text) => `${node.name}: ${text}`);
}
