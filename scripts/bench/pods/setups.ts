/** Pairs of ends on networks of many kinds: what else there is, and ours. */

import type { Lab, LabHost, LabNode, LabPod } from "../../../cli/lab/lab.ts";

const BRIDGE_PLUGIN = "/usr/lib/cni/bridge";
/** Rules that a packet walks through where a node uses iptables. */
export const RULES = 100;

/** A pair of ends. */
export interface Setup {
  name: string;
  client: LabHost;
  server: LabHost;
  address: string;
  /** Joined by both ends; undefined where nothing watches sockets. */
  cgroup?: string;
}

/** Returns what the command prints. */
export async function run(host: LabHost, ...words: string[]): Promise<string> {
  const { code, stdout, stderr } = await host.exec(words);
  if (code !== 0) throw new Error(`${words.join(" ")} in ${host.name}: ${stderr}`);
  return stdout;
}

/** A veth between a node and a namespace, with an address there and nothing of pilus. */
async function wirePod(
  node: LabNode,
  pod: LabPod,
  device: string,
  address: string,
  mtu: number,
): Promise<void> {
  await run(
    node,
    ...["ip", "link", "add", device, "mtu", String(mtu), "type", "veth"],
    ...["peer", "name", "eth0", "mtu", String(mtu), "netns", pod.netns],
  );
  await run(node, "ip", "link", "set", device, "up");
  await run(pod, "ip", "address", "add", address, "dev", "eth0");
  await run(pod, "ip", "link", "set", "eth0", "up");
}

/** Pods by routes alone: both on the first node, and one on the second. */
export async function plainRouting(lab: Lab): Promise<Setup[]> {
  const [a, b] = lab.nodes as [LabNode, LabNode];
  const pods: LabPod[] = [];
  for (const [i, node] of [a, a, b].entries()) {
    const pod = node.createPod("plain", `p${i}`);
    await wirePod(node, pod, `p${i}`, `10.98.${i}.2/24`, 1500);
    await run(node, "ip", "address", "add", `10.98.${i}.1/24`, "dev", `p${i}`);
    await run(node, "sysctl", "-qw", "net.ipv4.ip_forward=1");
    await run(pod, "ip", "route", "add", "default", "via", `10.98.${i}.1`);
    pods.push(pod);
  }
  await run(a, "ip", "route", "add", "10.98.2.0/24", "via", b.ipv4);
  for (const i of [0, 1]) {
    await run(b, "ip", "route", "add", `10.98.${i}.0/24`, "via", a.ipv4);
  }
  const [one, two, far] = pods as [LabPod, LabPod, LabPod];
  return [
    { name: "loopback", client: one, server: one, address: "127.0.0.1" },
    { name: "plain veth", client: one, server: two, address: "10.98.1.2" },
    { name: "nodes, plain routing", client: one, server: far, address: "10.98.2.2" },
  ];
}

/** Pods on the bridge of Debian's plugin, in a node of their own. */
export async function bridged(node: LabNode, name: string, rules: boolean): Promise<Setup[]> {
  try {
    Deno.statSync(BRIDGE_PLUGIN);
  } catch {
    console.error(`left out: ${name} (apt install containernetworking-plugins iptables)`);
    return [];
  }
  const pods: LabPod[] = [];
  for (const i of [0, 1]) {
    const pod = node.createPod("bridge", `${node.name}-${i}`);
    const config = {
      cniVersion: "1.0.0",
      name: "bench",
      type: "bridge",
      bridge: "cni0",
      isGateway: true,
      ipMasq: rules,
      ipam: { type: "host-local", subnet: "10.97.0.0/24", dataDir: `${node.directory}/ipam` },
    };
    const { code, stdout, stderr } = await node.exec([BRIDGE_PLUGIN], {
      input: JSON.stringify(config),
      env: {
        CNI_COMMAND: "ADD",
        CNI_CONTAINERID: pod.containerId,
        CNI_NETNS: pod.netns,
        CNI_IFNAME: "eth0",
        CNI_PATH: "/usr/lib/cni",
      },
    });
    if (code !== 0) throw new Error(`bridge plugin: ${stdout}${stderr}`);
    pod.ipv4 = JSON.parse(stdout).ips[0].address.split("/")[0];
    pods.push(pod);
  }
  const [client, server] = pods as [LabPod, LabPod];
  if (rules) {
    for (let i = 0; i < RULES; i++) {
      await run(node, "iptables", "-A", "FORWARD", "-s", `10.1.${i}.0/24`, "-j", "DROP");
    }
    const established = ["-m", "conntrack", "--ctstate", "ESTABLISHED,NEW", "-j", "ACCEPT"];
    await run(node, "iptables", "-A", "FORWARD", ...established);
  } else {
    await run(node, "sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=0");
  }
  return [{ name, client, server, address: server.ipv4 }];
}

/** Pods on a bridge over the kernel's VXLAN, one on each node. */
export async function kernelVxlan(lab: Lab): Promise<Setup[]> {
  const nodes = lab.nodes as [LabNode, LabNode];
  const pods: LabPod[] = [];
  for (const [i, node] of nodes.entries()) {
    const other = nodes[1 - i]!;
    await run(
      node,
      ...["ip", "link", "add", "vx0", "type", "vxlan", "id", "42", "dstport", "8473"],
      ...["local", node.ipv4, "remote", other.ipv4, "dev", "eth0"],
    );
    await run(node, "ip", "link", "add", "br0", "type", "bridge");
    await run(node, "sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=0");
    const pod = node.createPod("vxlan", `v${i}`);
    await wirePod(node, pod, "v0", `10.96.0.${i + 1}/24`, 1450);
    for (const device of ["vx0", "v0"]) {
      await run(node, "ip", "link", "set", device, "master", "br0", "up");
    }
    await run(node, "ip", "link", "set", "br0", "up");
    pods.push(pod);
  }
  const [client, server] = pods as [LabPod, LabPod];
  return [{ name: "nodes, VXLAN and bridge", client, server, address: "10.96.0.2" }];
}

/** Pods of ours: two on the first node and one on the second. */
export async function ours(lab: Lab, near: string, far: string): Promise<Setup[]> {
  await lab.startAgents();
  const [a, b] = lab.nodes as [LabNode, LabNode];
  const pods: LabPod[] = [];
  for (const [i, node] of [a, a, b].entries()) {
    const metadata = { name: `p${i}`, namespace: "bench", labels: { app: "bench" } };
    const spec = { nodeName: node.name };
    lab.apply(`pod-${i}`, JSON.stringify({ apiVersion: "v1", kind: "Pod", metadata, spec }));
    pods.push(await node.addPod("bench", `p${i}`));
  }
  const [client, server, away] = pods as [LabPod, LabPod, LabPod];
  const ping = async (to: LabPod) => {
    for (let i = 0; i < 50; i++) {
      if ((await client.exec(["ping", "-c1", "-W1", to.ipv4])).code === 0) return;
    }
    throw new Error(`${to.name} does not answer`);
  };
  await ping(server);
  await ping(away);
  return [
    { name: near, client, server, address: server.ipv4, cgroup: a.cgroup },
    { name: far, client, server: away, address: away.ipv4, cgroup: lab.cgroup },
  ];
}
