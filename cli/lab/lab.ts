/**
 * A cluster on one machine: nodes and pods as network namespaces, joined by a wire, with a host
 * outside that knows nothing of pods. Each node has its own bpffs, cgroup, directories and agent.
 *
 * All of it can be found again by its directory: {@linkcode tearDownLab} needs nothing else, so that
 * what a killed process left behind can be removed.
 */

import { AgentClient } from "../../agent/api/client.ts";
import type { StatusView } from "../../agent/api/views.ts";
import { findCgroup } from "../../agent/node/cgroup.ts";
import { mount, umount } from "../../datapath/ffi/libc.ts";
import type { RoutingMode } from "../../datapath/loader.ts";
export { checkRequirements } from "../../datapath/loader.ts";
import { addAddress } from "../../datapath/net/address.ts";
import { parseCidr, parseIp } from "../../datapath/net/ip.ts";
import { createBridge, createVeth, getLink, setLink } from "../../datapath/net/link.ts";
import { NetlinkSocket } from "../../datapath/net/netlink.ts";
import {
  createNamespace,
  inNamespace,
  openNamespace,
  writeSysctls,
} from "../../datapath/net/netns.ts";
import { replaceRoute } from "../../datapath/net/route.ts";

const MNT_DETACH = 2;
const START_TIMEOUT_MS = 15_000;

/** The wire's own addresses: the nodes' default routes go there. */
const GATEWAY = { ipv4: "192.168.60.254", ipv6: "fd00:60::fe" };

/** The host outside; documentation addresses (RFC 5737, RFC 3849). */
export const OUTSIDE = { ipv4: "203.0.113.10", ipv6: "2001:db8:60::10" } as const;
const OUTSIDE_GATEWAY = { ipv4: "203.0.113.1", ipv6: "2001:db8:60::1" };

/** Where pods' addresses come from, over all nodes. */
export const CLUSTER_CIDRS = ["10.60.0.0/16", "fd60::/16"] as const;

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
  /** More arguments for the agents; they come last. */
  agentArgs?: readonly string[];
}

/** How a process is run. */
export interface RunOptions {
  /** Given on stdin. */
  input?: string;
  env?: Record<string, string>;
  /** False: outside of the node's cgroup, where sockets are not translated. @default {true} */
  cgroup?: boolean;
  /** Ends the process. */
  signal?: AbortSignal;
}

/** What a process gave. */
export interface RunResult {
  code: number;
  stdout: string;
  stderr: string;
}

/** A network namespace in which processes run. */
export class LabHost {
  readonly name: string;
  /** Path of the network namespace. */
  readonly netns: string;
  /** Directory of the cgroup that its processes are in. */
  readonly cgroup: string;

  constructor(name: string, netns: string, cgroup: string) {
    this.name = name;
    this.netns = netns;
    this.cgroup = cgroup;
  }

  /** A process in the namespace and the cgroup, not started yet. */
  command(
    words: readonly string[],
    { env = {}, cgroup = true }: RunOptions = {},
    pipes: Deno.CommandOptions = {},
  ): Deno.Command {
    // A shell can put itself into a cgroup before it becomes the program; 0 is "the one who writes".
    const join = 'echo 0 > "$0/cgroup.procs" && exec nsenter "$@"';
    return new Deno.Command("sh", {
      args: [
        "-c",
        join,
        cgroup ? this.cgroup : parentOf(this.cgroup),
        `--net=${this.netns}`,
        ...words,
      ],
      env: { NO_COLOR: "1", ...env },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
      ...pipes,
    });
  }

  /** Runs a program to its end. */
  async exec(words: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    const { input, signal } = options;
    const command = this.command(words, options, {
      stdin: input === undefined ? "null" : "piped",
      ...(signal ? { signal } : {}),
    });
    return await finish(command.spawn(), input);
  }

  /** Starts a program. Dispose or kill it; the lab's end does so too. */
  spawn(words: readonly string[], options: RunOptions = {}, pipes: Deno.CommandOptions = {}) {
    return this.command(words, options, pipes).spawn();
  }

  /** Runs `burst` with a netlink socket of the namespace. */
  netlink<T>(burst: (netlink: NetlinkSocket) => T): T {
    using namespace = openNamespace(this.netns);
    using netlink = NetlinkSocket.open({ netns: namespace.fd });
    return burst(netlink);
  }

  /** Writes sysctls in the namespace. */
  sysctl(sysctls: Iterable<readonly [string, string]>): void {
    using namespace = openNamespace(this.netns);
    inNamespace(namespace.fd, () => writeSysctls(sysctls));
  }
}

/** A node: a namespace with an agent. */
export class LabNode extends LabHost {
  readonly lab: Lab;
  readonly directory: string;
  /** 1 for the first node: the last part of its addresses. */
  readonly number: number;
  readonly ipv4: string;
  readonly ipv6: string;
  readonly podCidrs: readonly [string, string];
  readonly socket: string;
  readonly log: string;
  readonly client: AgentClient;
  #agent: Deno.ChildProcess | undefined;

  constructor(lab: Lab, name: string, number: number) {
    const directory = `${lab.directory}/${name}`;
    super(name, `${directory}/netns`, `${lab.cgroup}/${name}`);
    this.lab = lab;
    this.directory = directory;
    this.number = number;
    this.ipv4 = `192.168.60.${number}`;
    this.ipv6 = `fd00:60::${number}`;
    this.podCidrs = [`10.60.${number}.0/24`, `fd60:${number}::/64`];
    this.socket = `${directory}/run/pilus.sock`;
    this.log = `${directory}/agent.log`;
    this.client = new AgentClient(this.socket);
  }

  /** The Node manifest. */
  get manifest(): string {
    return JSON.stringify({
      apiVersion: "v1",
      kind: "Node",
      metadata: { name: this.name },
      spec: { podCIDR: this.podCidrs[0], podCIDRs: this.podCidrs },
      status: {
        addresses: [
          { type: "InternalIP", address: this.ipv4 },
          { type: "InternalIP", address: this.ipv6 },
        ],
      },
    });
  }

  /** The agent's command line. */
  get agentWords(): string[] {
    const { lab, directory } = this;
    return [
      ...lab.program,
      "agent",
      ...["--node-name", this.name],
      ...["--manifests", lab.manifests],
      ...["--state-dir", `${directory}/state`],
      ...["--run-dir", `${directory}/run`],
      ...["--bpffs", `${directory}/bpf/pilus`],
      ...["--cgroup", this.cgroup],
      ...["--device", "eth0"],
      ...["--routing", lab.routing],
      ...["--cluster-cidr", CLUSTER_CIDRS.join(",")],
      ...["--cni-conf-dir", `${directory}/net.d`],
      ...["--cni-bin-dir", `${directory}/bin`],
      // a lab's maps are small: the kernel allocates them whole
      ...["--map-size", "pilus_ct=65536,pilus_nat=16384,pilus_reverse=16384,pilus_events=2097152"],
      ...["--repair-interval", "5"],
      ...lab.agentArgs,
    ];
  }

  /** Process number of the running agent. */
  get agentPid(): number | undefined {
    return this.#agent?.pid;
  }

  /** Starts the agent; its log is appended to {@linkcode log}. Does not wait for it. */
  startAgent(more: readonly string[] = []): void {
    if (this.#agent) throw new Error(`The agent of ${this.name} runs already`);
    const words = [
      "sh",
      "-c",
      'log=$0; exec "$@" >>"$log" 2>&1',
      this.log,
      ...this.agentWords,
      ...more,
    ];
    const agent = this.spawn(words, {}, { stdout: "null", stderr: "null" });
    // a lab that is kept goes on without this process
    agent.unref();
    this.#agent = agent;
  }

  /** Resolves when the agent says that all is well. Throws Error with the end of its log. */
  async ready(): Promise<void> {
    const deadline = Date.now() + START_TIMEOUT_MS;
    let last = "it has not answered";
    while (Date.now() < deadline) {
      try {
        const { health } = await this.status();
        if (health.ok) return;
        last = health.reason ?? "not healthy";
      } catch (error) {
        last = (error as Error).message;
      }
      await delay(20);
    }
    throw new Error(
      `The agent of ${this.name} is not ready after ${START_TIMEOUT_MS / 1000} s: ${last}\n` +
        this.logText().slice(-3000),
    );
  }

  /** Sends the signal and waits for the agent's end. */
  async stopAgent(signal: Deno.Signal = "SIGTERM"): Promise<void> {
    const agent = this.#agent;
    if (!agent) return;
    this.#agent = undefined;
    agent.ref();
    try {
      agent.kill(signal);
    } catch (error) {
      if (!(error instanceof TypeError) && !(error instanceof Deno.errors.NotFound)) throw error;
    }
    await agent.status;
  }

  status(): Promise<StatusView> {
    return this.client.call("/v1/status");
  }

  /** What the agent has logged. */
  logText(): string {
    try {
      return Deno.readTextFileSync(this.log);
    } catch {
      return "";
    }
  }

  /** Runs pilus against this node's agent. */
  async cli(...args: string[]): Promise<RunResult> {
    const [program, ...words] = this.lab.program;
    const command = new Deno.Command(program!, {
      args: [...words, ...args],
      env: { NO_COLOR: "1", PILUS_SOCKET: this.socket },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    });
    return await finish(command.spawn());
  }

  /** The CNI configuration that the agent has written. */
  cniConfig(): Record<string, unknown> {
    const list = JSON.parse(Deno.readTextFileSync(`${this.directory}/net.d/05-pilus.conflist`));
    return { cniVersion: list.cniVersion, name: list.name, ...list.plugins[0] };
  }

  /** Runs the CNI plugin as a container runtime does. */
  async cni(
    command: string,
    pod: Pick<LabPod, "containerId" | "netns" | "namespace" | "podName">,
    { config = this.cniConfig(), env = {} }: {
      config?: unknown;
      env?: Record<string, string>;
    } = {},
  ): Promise<RunResult> {
    const [program, ...words] = this.lab.program;
    const child = new Deno.Command(program!, {
      args: words,
      env: {
        CNI_COMMAND: command,
        CNI_CONTAINERID: pod.containerId,
        CNI_NETNS: pod.netns,
        CNI_IFNAME: "eth0",
        CNI_PATH: `${this.directory}/bin`,
        CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=${pod.namespace};K8S_POD_NAME=${pod.podName}`,
        ...env,
      },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    return await finish(child, typeof config === "string" ? config : JSON.stringify(config));
  }

  /** A pod's namespace, not yet on the network. */
  createPod(namespace: string, name: string): LabPod {
    const pod = new LabPod(this, namespace, name);
    createNamespace(pod.netns);
    pod.netlink((netlink) => setLink(netlink, "lo", { up: true }));
    return pod;
  }

  /** A pod on the network. Throws Error with the plugin's answer when ADD fails. */
  async addPod(namespace: string, name: string): Promise<LabPod> {
    const pod = this.createPod(namespace, name);
    await pod.add();
    return pod;
  }
}

interface CniResult {
  ips: { address: string }[];
  interfaces: { name: string; mtu?: number }[];
}

/** A pod: a namespace that the CNI plugin has put on the network. */
export class LabPod extends LabHost {
  readonly node: LabNode;
  readonly namespace: string;
  readonly podName: string;
  readonly containerId: string;
  /** Empty before ADD. */
  ipv4 = "";
  ipv6 = "";
  /** Name of the device on the node. */
  hostDevice = "";

  constructor(node: LabNode, namespace: string, name: string) {
    super(
      `${namespace}/${name}`,
      `${node.lab.directory}/pods/${namespace}.${name}`,
      node.cgroup,
    );
    this.node = node;
    this.namespace = namespace;
    this.podName = name;
    this.containerId = `${namespace}-${name}`;
  }

  async add(): Promise<void> {
    const { code, stdout, stderr } = await this.node.cni("ADD", this);
    if (code !== 0) throw new Error(`CNI ADD of ${this.name} failed: ${stdout}${stderr}`);
    const { ips, interfaces } = JSON.parse(stdout) as CniResult;
    const addresses = ips.map(({ address }) => address.split("/")[0]!);
    this.ipv4 = addresses.find((address) => address.includes(".")) ?? "";
    this.ipv6 = addresses.find((address) => address.includes(":")) ?? "";
    this.hostDevice = interfaces[0]!.name;
  }

  /** Takes the pod off the network and removes its namespace. */
  async delete(): Promise<void> {
    const { code, stdout, stderr } = await this.node.cni("DEL", this);
    if (code !== 0) throw new Error(`CNI DEL of ${this.name} failed: ${stdout}${stderr}`);
    umount(this.netns, MNT_DETACH);
    Deno.removeSync(this.netns);
  }
}

/** The cluster. Disposing ends all its processes and removes everything that it made. */
export class Lab implements AsyncDisposable {
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

  #build({ mtu = 1500, outsideMtu = 1500 }: LabOptions): void {
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
      Deno.writeTextFileSync(`${this.manifests}/node-${node.name}.yaml`, node.manifest);
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

function cgroupOf(directory: string): string {
  return `${findCgroup()}/${directory.slice(directory.lastIndexOf("/") + 1)}`;
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
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

async function finish(child: Deno.ChildProcess, input?: string): Promise<RunResult> {
  if (input !== undefined) {
    // a program that does not read its input is no failure of ours
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(input)).catch(() => {});
    await writer.close().catch(() => {});
  }
  const { code, stdout, stderr } = await child.output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Ends all processes of the lab in `directory` and removes everything that it made. */
export async function tearDownLab(directory: string): Promise<void> {
  const cgroup = cgroupOf(directory);
  if (exists(cgroup)) await removeCgroup(cgroup);
  for (const path of mountsUnder(directory).reverse()) umount(path, MNT_DETACH);
  if (exists(directory)) Deno.removeSync(directory, { recursive: true });
}

async function removeCgroup(cgroup: string): Promise<void> {
  Deno.writeTextFileSync(`${cgroup}/cgroup.kill`, "1");
  while (Deno.readTextFileSync(`${cgroup}/cgroup.events`).includes("populated 1")) await delay(5);
  for (const entry of Deno.readDirSync(cgroup)) {
    if (entry.isDirectory) Deno.removeSync(`${cgroup}/${entry.name}`);
  }
  Deno.removeSync(cgroup);
}

function mountsUnder(directory: string): string[] {
  return Deno.readTextFileSync("/proc/self/mounts").split("\n")
    .map((line) => line.split(" ")[1] ?? "")
    .filter((path) => path.startsWith(`${directory}/`));
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
