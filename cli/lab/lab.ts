/**
 * A cluster on one machine: nodes and pods as network namespaces, joined by a wire, with a host
 * outside that knows nothing of pods. Each node has its own bpffs, cgroup, directories and agent.
 *
 * All of it can be found again by its directory: {@linkcode tearDownLab} needs nothing else, so that
 * what a killed process left behind can be removed.
 */

import { mount } from "../../datapath/bpf/ffi/libc.ts";
import type { RoutingMode } from "../../datapath/loader.ts";
import { addAddress } from "../../datapath/net/address.ts";
import { parseCidr, parseIp } from "../../datapath/net/ip.ts";
import { createBridge, createVeth, getLink, setLink } from "../../datapath/net/link.ts";
import type { NetlinkSocket } from "../../datapath/net/netlink.ts";
import { createNamespace, openNamespace } from "../../datapath/net/netns.ts";
import { replaceRoute } from "../../datapath/net/route.ts";
import { LabHost } from "./host.ts";
import { LabNode, type NodeLab } from "./node.ts";
import { cgroupOf, tearDownLab } from "./tear_down.ts";

export { checkRequirements } from "../../datapath/loader.ts";
export { LabHost, type RunOptions, type RunResult } from "./host.ts";
export { CLUSTER_CIDRS, LabNode } from "./node.ts";
export { LabPod } from "./pod.ts";
export { tearDownLab } from "./tear_down.ts";

/** The wire's own addresses: the nodes' default routes go there. */
const GATEWAY = { ipv4: "192.168.60.254", ipv6: "fd00:60::fe" };

/** The host outside; documentation addresses (RFC 5737, RFC 3849). */
export const OUTSIDE = { ipv4: "203.0.113.10", ipv6: "2001:db8:60::10" } as const;
const OUTSIDE_GATEWAY = { ipv4: "203.0.113.1", ipv6: "2001:db8:60::1" };

/** Options for {@linkcode Lab.create}. */
export interface LabOptions {
  /** Made by the lab, and must not exist. */
  directory: string;
  /** Names of the nodes. */
  nodes: readonly string[];
  /** Command that runs pilus, as words. */
  program: readonly string[];
  /** @default {"vxlan"} */
  routing?: RoutingMode;
  /** MTU of the wire in bytes. @default {1500} */
  mtu?: number;
  /** MTU of the link to the host outside in bytes. @default {1500} */
  outsideMtu?: number;
  /** Whether the manifests have a Node for each. @default {true} */
  nodeManifests?: boolean;
  /** More arguments for the agents; they come last. */
  agentArgs?: readonly string[];
}

/** The cluster. Disposing ends all its processes and removes everything that it made. */
export class Lab implements NodeLab, AsyncDisposable {
  readonly directory: string;
  readonly manifests: string;
  readonly program: readonly string[];
  readonly routing: RoutingMode;
  readonly agentArgs: readonly string[];
  /** Directory of the cgroup that the nodes' are in. */
  readonly cgroup: string;
  readonly nodes: readonly LabNode[];
  /** The bridge between the nodes, and the router to the outside. */
  readonly wire: LabHost;
  /** A host outside of the cluster, which has no route to pods. */
  readonly outside: LabHost;

  private constructor(options: LabOptions) {
    const { directory, nodes, program, routing = "vxlan", agentArgs = [] } = options;
    this.directory = directory;
    this.manifests = `${directory}/manifests`;
    this.program = program;
    this.routing = routing;
    this.agentArgs = agentArgs;
    this.cgroup = cgroupOf(directory);
    this.nodes = nodes.map((name, index) => new LabNode(this, name, index + 1));
    this.wire = new LabHost("wire", `${directory}/wire`, `${this.cgroup}/wire`);
    this.outside = new LabHost("outside", `${directory}/outside`, `${this.cgroup}/outside`);
  }

  /** Makes namespaces, wire, mounts and cgroups; no agent is started. */
  static async create(options: LabOptions): Promise<Lab> {
    const lab = new Lab(options);
    Deno.mkdirSync(lab.directory, { mode: 0o700 });
    try {
      lab.#build(options);
    } catch (error) {
      await lab[Symbol.asyncDispose]();
      throw error;
    }
    return lab;
  }

  /** The node of that name. */
  node(name: string): LabNode {
    const node = this.nodes.find((candidate) => candidate.name === name);
    if (!node) throw new TypeError(`The lab has no node ${name}`);
    return node;
  }

  #build({ mtu = 1500, outsideMtu = 1500, nodeManifests = true }: LabOptions): void {
    for (const name of ["manifests", "pods"]) Deno.mkdirSync(`${this.directory}/${name}`);
    Deno.mkdirSync(this.cgroup);
    for (const host of [this.wire, this.outside, ...this.nodes]) Deno.mkdirSync(host.cgroup);

    createNamespace(this.wire.netns);
    this.wire.netlink((netlink) => {
      setLink(netlink, "lo", { up: true });
      createBridge(netlink, "wire");
      setLink(netlink, "wire", { up: true });
      const ifindex = getLink(netlink, "wire").ifindex;
      assign(netlink, ifindex, [`${GATEWAY.ipv4}/24`, `${GATEWAY.ipv6}/64`]);
    });
    this.wire.sysctl([["ipv4/ip_forward", "1"], ["ipv6/conf/all/forwarding", "1"]]);

    for (const node of this.nodes) {
      Deno.mkdirSync(`${node.directory}/bpf`, { recursive: true });
      createNamespace(node.netns);
      mount("bpf", `${node.directory}/bpf`, "bpf", 0);
      this.#plug(node, node.name, mtu);
      this.wire.netlink((netlink) => {
        setLink(netlink, node.name, { master: getLink(netlink, "wire").ifindex, up: true });
      });
      configure(node, [`${node.ipv4}/24`, `${node.ipv6}/64`], GATEWAY);
      if (nodeManifests) {
        Deno.writeTextFileSync(`${this.manifests}/node-${node.name}.yaml`, node.manifest);
      }
    }

    createNamespace(this.outside.netns);
    this.#plug(this.outside, "outside", outsideMtu);
    this.wire.netlink((netlink) => {
      setLink(netlink, "outside", { up: true });
      const { ifindex } = getLink(netlink, "outside");
      assign(netlink, ifindex, [`${OUTSIDE_GATEWAY.ipv4}/24`, `${OUTSIDE_GATEWAY.ipv6}/64`]);
    });
    configure(this.outside, [`${OUTSIDE.ipv4}/24`, `${OUTSIDE.ipv6}/64`], OUTSIDE_GATEWAY);
  }

  /** A veth from the wire, where it is called `name`, to the host's eth0. */
  #plug(host: LabHost, name: string, mtu: number): void {
    using namespace = openNamespace(host.netns);
    this.wire.netlink((netlink) => {
      createVeth(netlink, { name, mtu, peer: { name: "eth0", netns: namespace.fd } });
    });
  }

  /** Starts the agent of each node and waits until all are ready. */
  async startAgents(): Promise<void> {
    for (const node of this.nodes) node.startAgent();
    await Promise.all(this.nodes.map((node) => node.ready()));
  }

  /** Writes a manifest, whole or not at all; `name` has no ending. */
  apply(name: string, manifest: string): void {
    const fresh = `${this.directory}/.${name}.new`;
    Deno.writeTextFileSync(fresh, manifest);
    Deno.renameSync(fresh, `${this.manifests}/${name}.yaml`);
  }

  /** Removes a manifest. */
  remove(name: string): void {
    Deno.removeSync(`${this.manifests}/${name}.yaml`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await tearDownLab(this.directory);
    await Promise.all(this.nodes.map((node) => node.stopAgent()));
  }
}

function assign(netlink: NetlinkSocket, ifindex: number, cidrs: readonly string[]): void {
  for (const text of cidrs) {
    const cidr = parseCidr(text);
    addAddress(netlink, { ifindex, cidr });
    replaceRoute(netlink, { destination: cidr, ifindex, source: cidr.address });
  }
}

/** eth0 with addresses and default routes. */
function configure(
  host: LabHost,
  cidrs: readonly string[],
  gateway: { ipv4: string; ipv6: string },
): void {
  host.netlink((netlink) => {
    setLink(netlink, "lo", { up: true });
    setLink(netlink, "eth0", { up: true });
    const { ifindex } = getLink(netlink, "eth0");
    assign(netlink, ifindex, cidrs);
    const defaults = [["0.0.0.0/0", gateway.ipv4], ["::/0", gateway.ipv6]] as const;
    for (const [destination, via] of defaults) {
      replaceRoute(netlink, { destination: parseCidr(destination), ifindex, via: parseIp(via) });
    }
  });
}
