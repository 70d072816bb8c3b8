/** Services as clients outside of the cluster meet them. */

import type { Lab, LabHost, LabNode } from "../../cli/lab/lab.ts";
import { attachXdp, BpfObject } from "../../datapath/bpf/mod.ts";
import { setOffload } from "../../datapath/net/ethtool.ts";
import { getLink } from "../../datapath/net/link.ts";
import { NetlinkSocket } from "../../datapath/net/netlink.ts";
import { inNamespace, openNamespace } from "../../datapath/net/netns.ts";
import { compileBpf } from "../../scripts/compile_bpf.ts";
import { PEER } from "./clients.ts";

/** Prefixes of balanced addresses (RFC 5737, RFC 3849); the wire sends them to a node. */
const BALANCED = { ipv4: "198.51.100.0/24", ipv6: "2001:db8:51::/64" } as const;

/** Addresses of that prefix by number. */
export function balanced(number: number) {
  return { ipv4: `198.51.100.${number}`, ipv6: `2001:db8:51::${number}` } as const;
}

/** Routes the balanced addresses to the node, as a router of the network would. */
export async function announce(lab: Lab, node: LabNode): Promise<void> {
  for (const [family, via] of [["ipv4", node.ipv4], ["ipv6", node.ipv6]] as const) {
    await lab.wire.exec(["ip", "route", "replace", BALANCED[family], "via", via]);
  }
}

const PASS = `#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
SEC("xdp") int pass(struct xdp_md *ctx) { return XDP_PASS; }
char _license[] SEC("license") = "GPL";`;

/**
 * Makes the lab's links do what wires do, until it is disposed of: checksums are finished before a
 * packet is on its way, and what XDP sends back is taken. A veth takes that when it has a program.
 */
export function makeWiresReal(lab: Lab): Disposable {
  using stack = new DisposableStack();
  using object = BpfObject.open(compileBpf(PASS)).load();
  using program = object.program("pass");
  const inside = (host: LabHost, work: () => void) => {
    using namespace = openNamespace(host.netns);
    inNamespace(namespace.fd, work);
  };
  for (const host of [...lab.nodes, lab.outside]) {
    inside(host, () => setOffload("eth0", "txChecksum", false));
    inside(lab.wire, () => {
      using netlink = NetlinkSocket.open();
      const { ifindex } = getLink(netlink, host.name);
      stack.use(attachXdp(program, { ifindex, mode: "native" }));
    });
  }
  return stack.move();
}

export interface ServiceOptions {
  spec?: Record<string, unknown>;
  annotations?: Record<string, string>;
  /** Of the balancer that would be outside. */
  ingress?: readonly string[];
}

/** A Service with TCP and UDP echo at port 7 and HTTP at port 80; see peer.py. */
export function serviceManifest(
  name: string,
  selector: Record<string, string> | undefined,
  { spec = {}, annotations = {}, ingress = [] }: ServiceOptions,
): string {
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "demo", annotations },
    spec: {
      ...(selector ? { selector } : {}),
      ports: [
        { name: "http", port: 80, targetPort: 8080, nodePort: 30080 },
        { name: "tcp", port: 7, targetPort: 7000, nodePort: 30007 },
        { name: "udp", port: 7, targetPort: 7000, protocol: "UDP", nodePort: 30007 },
      ],
      ...spec,
    },
    status: { loadBalancer: { ingress: ingress.map((ip) => ({ ip })) } },
  });
}

/** How many packets with tunnels and options come to a host's eth0 while `work` runs. */
export async function sniff(
  host: LabHost,
  work: () => Promise<void>,
): Promise<Map<string, number>> {
  const seconds = 2;
  const child = host.spawn([...PEER, "sniff", "eth0", String(seconds)]);
  const lines = child.stdout.pipeThrough(new TextDecoderStream());
  const reader = lines.getReader();
  await reader.read();
  await work();
  let text = "";
  for (let part = await reader.read(); !part.done; part = await reader.read()) text += part.value;
  await child.status;
  await child.stderr.cancel();
  return new Map(Object.entries(JSON.parse(text.trim()) as Record<string, number>));
}
