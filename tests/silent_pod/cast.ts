/** Who there is in the test of the silent pod, and the policies that say what each may. */

import { type Lab, LabHost, type LabPod } from "../../cli/lab/lab.ts";
import { addAddress } from "../../datapath/net/address.ts";
import { parseCidr, parseIp } from "../../datapath/net/ip.ts";
import { createVeth, getLink, setLink } from "../../datapath/net/link.ts";
import { replaceNeighbour } from "../../datapath/net/neighbour.ts";
import { createNamespace, openNamespace } from "../../datapath/net/netns.ts";
import { replaceRoute } from "../../datapath/net/route.ts";
import { announce, balanced } from "../lab/balancer.ts";
import { inKernel } from "../lab/clients.ts";
import type { Story } from "../lab/test_lab.ts";

/** What is open of `web`, `near` and `far`. */
export const OPEN_PORTS = [{ protocol: 17, port: 7000 }, { protocol: 6, port: 8080 }] as const;

/** Pods by node. `open` and `openness` are selected by no policy, `shut` by one that allows nothing. */
const PODS = {
  a: ["silent", "tied", "roamer", "near", "web", "open"],
  b: ["far", "shut", "openness"],
} as const;

/** Senders by number. */
export const SENDERS = ["silent", "tied", "roamer", "stranger", "outside"] as const;

/** The host on the wire. */
export const STRANGER = { ipv4: "192.168.60.77", ipv6: "fd00:60::77" } as const;

/** More addresses of the first node, which no manifest knows. */
export const SECONDARY = ["192.168.60.201", "fd00:60::c9"] as const;

/** Services: the pod behind each, and the last parts of its addresses and node ports. */
const SERVICES = { web: 1, near: 2, far: 3 } as const;
export const SERVICE_NAMES = Object.keys(SERVICES) as (keyof typeof SERVICES)[];

export function frontendsOf(name: keyof typeof SERVICES) {
  const number = SERVICES[name];
  return {
    cluster: [`10.96.0.${number}`, `fd60:96::${number}`],
    external: name === "web" ? Object.values(balanced(number)) : [],
    /** Ports of its addresses and of all nodes, by protocol. */
    port: { 6: 80, 17: 53 },
    nodePort: { 6: 30080 + number, 17: 30050 + number },
  } as const;
}

/** All that the test is made of. */
export interface Cast {
  story: Story;
  pods: Map<string, LabPod>;
  stranger: LabHost;
}

function networkPolicy(name: string, spec: Record<string, unknown>): string {
  return JSON.stringify({
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: { name, namespace: "demo" },
    spec: { podSelector: { matchLabels: { app: name } }, ...spec },
  });
}

const PORTS = [{ protocol: "UDP", port: 7000 }, { protocol: "TCP", port: 8080 }];
const peer = (app: string) => ({ podSelector: { matchLabels: { app } } });

/** The policies; the oracle says the same in its own words. */
function applyPolicies(lab: Lab): void {
  const policyTypes = ["Ingress", "Egress"];
  lab.apply("silent", networkPolicy("silent", { policyTypes }));
  for (const [name, to] of [["tied", "near"], ["roamer", "far"]] as const) {
    lab.apply(
      name,
      networkPolicy(name, { policyTypes, egress: [{ to: [peer(to)], ports: PORTS }] }),
    );
    const ingress = [{ from: [peer(name)], ports: PORTS }];
    lab.apply(to, networkPolicy(to, { policyTypes: ["Ingress"], ingress }));
  }
  const world = ["0.0.0.0/0", "::/0"].map((cidr) => ({ ipBlock: { cidr } }));
  const ingress = [{ from: world, ports: PORTS }];
  lab.apply("web", networkPolicy("web", { policyTypes: ["Ingress"], ingress }));
  lab.apply("shut", networkPolicy("shut", { policyTypes: ["Ingress"] }));
}

/** Lets the silent pod send anything: the oracle must complain. */
export async function breakPolicy({ story, pods }: Cast): Promise<void> {
  story.lab.apply("silent", networkPolicy("silent", { policyTypes: ["Egress"], egress: [{}] }));
  const kept = pods.get("open")!;
  for (let tries = 0; tries < 100; tries++) {
    const { code } = await pods.get("silent")!.exec(["ping", "-c1", "-W1", kept.ipv4]);
    if (code === 0) return;
  }
  throw new Error("The policy of the silent pod cannot be broken");
}

function serviceManifest(name: keyof typeof SERVICES): string {
  const { cluster, external, port, nodePort } = frontendsOf(name);
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "demo" },
    spec: {
      type: external.length ? "LoadBalancer" : "NodePort",
      selector: { app: name },
      clusterIP: cluster[0],
      clusterIPs: cluster,
      ipFamilies: ["IPv4", "IPv6"],
      ipFamilyPolicy: "RequireDualStack",
      ports: [
        { name: "tcp", port: port[6], targetPort: 8080, nodePort: nodePort[6] },
        { name: "udp", protocol: "UDP", port: port[17], targetPort: 7000, nodePort: nodePort[17] },
      ],
    },
    status: { loadBalancer: { ingress: external.map((ip) => ({ ip })) } },
  });
}

/** A host on the wire, at a port of its bridge that learns no MACs: a switch that guards its ports. */
async function plugStranger(lab: Lab): Promise<LabHost> {
  const stranger = new LabHost("stranger", `${lab.directory}/stranger`, `${lab.cgroup}/stranger`);
  Deno.mkdirSync(stranger.cgroup);
  createNamespace(stranger.netns);
  lab.wire.netlink((netlink) => {
    using namespace = openNamespace(stranger.netns);
    createVeth(netlink, {
      name: "stranger",
      mtu: 1500,
      peer: { name: "eth0", netns: namespace.fd },
    });
    setLink(netlink, "stranger", { master: getLink(netlink, "wire").ifindex, up: true });
  });
  stranger.netlink((netlink) => {
    setLink(netlink, "lo", { up: true });
    setLink(netlink, "eth0", { up: true });
    const { ifindex } = getLink(netlink, "eth0");
    addAddress(netlink, { ifindex, cidr: parseCidr(`${STRANGER.ipv4}/24`) });
    addAddress(netlink, { ifindex, cidr: parseCidr(`${STRANGER.ipv6}/64`) });
  });
  const words = ["ip", "link", "set", "stranger", "type", "bridge_slave", "learning", "off"];
  const { code, stderr } = await lab.wire.exec(words);
  if (code !== 0) throw new Error(stderr);
  return stranger;
}

/** The wire's router knows where pods are, so that hosts behind it can try. */
function routeToPods(lab: Lab): void {
  lab.wire.netlink((netlink) => {
    const { ifindex } = getLink(netlink, "wire");
    for (const { podCidrs, ipv4, ipv6 } of lab.nodes) {
      for (const [i, via] of [ipv4, ipv6].entries()) {
        replaceRoute(netlink, { destination: parseCidr(podCidrs[i]!), ifindex, via: parseIp(via) });
      }
    }
  });
  lab.wire.sysctl([["ipv4/conf/all/rp_filter", "0"], ["ipv4/conf/outside/rp_filter", "0"]]);
}

/** Nodes that talk know each other's MAC; of one that was forgotten, any is believed. */
function introduce(lab: Lab): void {
  for (const node of lab.nodes) {
    node.netlink((netlink) => {
      const { ifindex } = getLink(netlink, "eth0");
      for (const other of lab.nodes.filter((candidate) => candidate !== node)) {
        const { mac } = other.netlink((theirs) => getLink(theirs, "eth0"));
        for (const ip of [other.ipv4, other.ipv6]) {
          replaceNeighbour(netlink, { ifindex, ip: parseIp(ip), mac });
        }
      }
    });
  }
}

/** Stacks give up on datagrams, and say so to whatever source they have, while the test runs. */
function reassembleBriefly(lab: Lab): void {
  for (const node of lab.nodes) {
    node.sysctl([["ipv4/ipfrag_time", "1"], ["ipv6/ip6frag_time", "1"]]);
  }
}

/** Makes all of it in a lab whose agents run. */
export async function makeCast(story: Story): Promise<Cast> {
  const { lab, a, b } = story;
  applyPolicies(lab);
  const pods = new Map<string, LabPod>();
  for (const [node, names] of [[a, PODS.a], [b, PODS.b]] as const) {
    for (const name of names) pods.set(name, await story.pod(node, name, { server: false }));
  }
  for (const name of SERVICE_NAMES) lab.apply(`svc-${name}`, serviceManifest(name));
  a.netlink((netlink) => {
    const { ifindex } = getLink(netlink, "eth0");
    addAddress(netlink, { ifindex, cidr: parseCidr(`${SECONDARY[0]}/32`) });
    addAddress(netlink, { ifindex, cidr: parseCidr(`${SECONDARY[1]}/128`) });
  });
  const stranger = await plugStranger(lab);
  routeToPods(lab);
  introduce(lab);
  reassembleBriefly(lab);
  await announce(lab, a);
  await inKernel(a, b);
  return { story, pods, stranger };
}
