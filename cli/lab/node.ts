/** Nodes of a lab. */

import { AgentClient } from "../../agent/api/client.ts";
import type { StatusView } from "../../agent/api/views.ts";
import type { RoutingMode } from "../../datapath/loader.ts";
import { setLink } from "../../datapath/net/link.ts";
import { createNamespace } from "../../datapath/net/netns.ts";
import { delay, finish, LabHost, type RunResult } from "./host.ts";
import { type CniOptions, LabPod } from "./pod.ts";

const START_TIMEOUT_MS = 15_000;

/** Where pods' addresses come from, over all nodes. */
export const CLUSTER_CIDRS = ["10.60.0.0/16", "fd60::/16"] as const;

/** The lab as its nodes know it. */
export interface NodeLab {
  readonly directory: string;
  readonly manifests: string;
  /** Command that runs pilus, as words. */
  readonly program: readonly string[];
  readonly routing: RoutingMode;
  readonly agentArgs: readonly string[];
  /** Directory of the cgroup that the nodes' are in. */
  readonly cgroup: string;
  /** Writes a manifest, whole or not at all; `name` has no ending. */
  apply(name: string, manifest: string): void;
  /** Removes a manifest. */
  remove(name: string): void;
}

/** A node: a namespace with an agent. */
export class LabNode extends LabHost {
  readonly lab: NodeLab;
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
  #agentHasEnded = false;

  constructor(lab: NodeLab, name: string, number: number) {
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
      ...[
        "--map-size",
        "pilus_ct=65536,pilus_nat=16384,pilus_socket_revnat=16384,pilus_events=2097152",
      ],
      ...["--repair-interval", "5"],
      ...lab.agentArgs,
    ];
  }

  /** Process number of the running agent. */
  get agentPid(): number | undefined {
    return this.#agent?.pid;
  }

  /** Whether the agent was started and has ended by itself. */
  get agentHasEnded(): boolean {
    return this.#agentHasEnded;
  }

  /** Starts the agent; its log is appended to {@linkcode log}. Does not wait for it. */
  startAgent(more: readonly string[] = []): void {
    if (this.#agent && !this.#agentHasEnded) {
      throw new Error(`The agent of ${this.name} runs already`);
    }
    this.#agentHasEnded = false;
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
    void agent.status.then(() => {
      if (this.#agent === agent) this.#agentHasEnded = true;
    });
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
    this.#agentHasEnded = false;
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

  /** Runs the CNI plugin that the agent has installed, as a container runtime does. */
  async cni(
    command: string,
    pod: Pick<LabPod, "containerId" | "netns" | "namespace" | "podName">,
    { config = this.cniConfig(), env = {} }: CniOptions = {},
  ): Promise<RunResult> {
    const child = new Deno.Command(`${this.directory}/bin/pilus`, {
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
  createPod(namespace: string, name: string, sandbox?: string): LabPod {
    const pod = new LabPod(this, namespace, name, sandbox);
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
