/** Real nodes of Kubernetes with pilus as their network plugin and service proxy. */

import { fromFileUrl } from "@std/path";
import type { EndpointView } from "../../agent/api/types.ts";
import type { StatusView } from "../../agent/api/views.ts";
import { AgentClient } from "../../agent/api/client.ts";
import { retry } from "./retry.ts";

const ROOT = fromFileUrl(new URL("../../", import.meta.url));
const LAB = "/run/pilus-kubernetes";
/** How agents reach the API server. */
const ACCESS = `${LAB}/pilus.kubeconfig`;
const CACHE = Deno.env.get("BUILD_CACHE") ?? `${Deno.env.get("HOME")}/.cache/pilus`;

/** Why there are no nodes here; undefined when there can be some. */
export function whyNoNodes(): string | undefined {
  const files = [
    ...["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kubectl"]
      .map((name) => `${CACHE}/kubernetes/bin/${name}`),
    ...[`${CACHE}/kubernetes/busybox.tar`, "/usr/bin/containerd", "/usr/lib/cni/loopback"],
  ];
  const missing = files.find((path) => {
    try {
      return !Deno.statSync(path).isFile;
    } catch {
      return true;
    }
  });
  return missing && `${missing} is not there: scripts/kubernetes/build.sh lab makes it`;
}

async function run(program: string, args: readonly string[], stdin?: string): Promise<string> {
  const child = new Deno.Command(program, {
    args: [...args],
    stdin: stdin === undefined ? "null" : "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  if (stdin !== undefined) {
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(stdin));
    await writer.close();
  }
  const { success, stdout, stderr } = await child.output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  if (!success) throw new Error(`${program} ${args.join(" ")}: ${text(stderr)}${text(stdout)}`);
  return text(stdout);
}

const script = (...args: string[]) => run(`${ROOT}scripts/kubernetes/lab.sh`, args);

/** A pod as the API has it. */
export interface RunningPod {
  name: string;
  ip: string;
  node: string;
}

/** See the module. */
export class NodeLab implements AsyncDisposable {
  readonly nodes: readonly string[];
  readonly #agents = new Map<string, Deno.ChildProcess>();

  private constructor(nodes: readonly string[]) {
    this.nodes = nodes;
  }

  static async start(nodes: readonly string[]): Promise<NodeLab> {
    const lab = new NodeLab(nodes);
    try {
      await script("down");
      await script("up", ...nodes);
      await lab.#install();
      return lab;
    } catch (error) {
      await lab[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Kinds and roles, as users install them; the agents are who they say, and no more. */
  async #install(): Promise<void> {
    const manifest = await run(`${ROOT}dist/pilus`, ["manifest"]);
    await this.#kubectlText(["apply", "-f", "-"], manifest);
    const account = ["-n", "kube-system", "create", "token", "pilus", "--duration=24h"];
    const token = (await retry(() => this.kubectl(account))).trim();
    const cluster = {
      server: "https://192.0.2.1:6443",
      "certificate-authority": `${LAB}/pki/ca.crt`,
    };
    const config = {
      "current-context": "lab",
      contexts: [{ name: "lab", context: { cluster: "lab", user: "pilus" } }],
      clusters: [{ name: "lab", cluster }],
      users: [{ name: "pilus", user: { token } }],
    };
    Deno.writeTextFileSync(ACCESS, JSON.stringify(config), { mode: 0o600 });
  }

  /** The address at which node number `at` is. */
  addressOf(node: string): string {
    return `192.0.2.${11 + this.nodes.indexOf(node)}`;
  }

  /** Of the control plane. */
  startProgram(name: string): Promise<string> {
    return script("start", name);
  }

  stopProgram(name: string): Promise<string> {
    return script("stop", name);
  }

  ready(): Promise<string> {
    return script("ready");
  }

  inNode(node: string, ...command: string[]): Promise<string> {
    return script("in", node, ...command);
  }

  kubectl(args: readonly string[], stdin?: object | readonly object[]): Promise<string> {
    const items = stdin === undefined ? undefined : [stdin].flat();
    const list = items && JSON.stringify({ apiVersion: "v1", kind: "List", items });
    return this.#kubectlText(args, list);
  }

  #kubectlText(args: readonly string[], stdin: string | undefined): Promise<string> {
    const command = [`${CACHE}/kubernetes/bin/kubectl`, "--kubeconfig", `${LAB}/admin.kubeconfig`];
    return run(`${ROOT}scripts/kubernetes/lab.sh`, ["in", "cp", ...command, ...args], stdin);
  }

  apply(...objects: object[]): Promise<string> {
    return this.kubectl(["apply", "-f", "-"], objects);
  }

  async pods(selector: string): Promise<RunningPod[]> {
    const text = await this.kubectl(["-n", "demo", "get", "pods", "-l", selector, "-o", "json"]);
    const { items } = JSON.parse(text) as {
      items: {
        metadata: { name: string; deletionTimestamp?: string };
        spec: { nodeName: string };
        status: { podIP?: string };
      }[];
    };
    return items.filter(({ metadata }) => !metadata.deletionTimestamp)
      .map(({ metadata: { name }, spec: { nodeName: node }, status: { podIP: ip = "" } }) => ({
        name,
        ip,
        node,
      }));
  }

  stateOf(node: string): string {
    return `${LAB}/${node}/pilus/state`;
  }

  /** Where an agent and its uninstallation find what is the node's. */
  #places(node: string): string[] {
    return [
      ...["--node-name", node, "--manifests", `${LAB}/${node}/manifests`],
      ...["--state-dir", this.stateOf(node), "--run-dir", `${LAB}/${node}/pilus/run`],
    ];
  }

  async uninstall(node: string): Promise<void> {
    await this.inNode(node, `${ROOT}dist/pilus`, "uninstall", "--yes", ...this.#places(node));
  }

  startAgent(node: string): void {
    const log = Deno.openSync(`${LAB}/log/${node}-pilus`, { create: true, append: true });
    const v2 = `/sys/fs/cgroup/unified/${node}`;
    const child = new Deno.Command(`${ROOT}scripts/kubernetes/lab.sh`, {
      args: [
        ...["in", node, `${ROOT}dist/pilus`, "agent", ...this.#places(node), "--kubernetes"],
        ...["--kubeconfig", ACCESS, "--cluster-store", "kubernetes", "--device", "eth0"],
        ...["--cgroup", exists(v2) ? v2 : `/sys/fs/cgroup/${node}`],
        ...["--cluster-cidr", "10.244.0.0/16"],
      ],
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    void child.stderr.pipeTo(log.writable).catch(() => {});
    this.#agents.set(node, child);
  }

  async stopAgent(node: string, signal: Deno.Signal = "SIGTERM"): Promise<void> {
    const agent = this.#agents.get(node);
    this.#agents.delete(node);
    agent?.kill(signal);
    await agent?.status;
  }

  client(node: string): AgentClient {
    return new AgentClient(`${LAB}/${node}/pilus/run/pilus.sock`);
  }

  status(node: string): Promise<StatusView> {
    return this.client(node).call<StatusView>("/v1/status");
  }

  logText(node: string): string {
    return Deno.readTextFileSync(`${LAB}/log/${node}-pilus`);
  }

  /** What a GET from within a pod gets; it works without the API server, too. */
  async get({ name, node }: RunningPod, url: string): Promise<string> {
    const endpoints = await this.client(node).call<EndpointView[]>("/v1/endpoints");
    const endpoint = endpoints.find(({ pod }) => pod === name);
    if (!endpoint) throw new Error(`${name} is no endpoint of ${node}`);
    const path = endpoint.netns.replace(/^\/var/, "");
    const curl = ["curl", "-sk", "-m", "1", "--fail", url];
    return (await this.inNode(node, "nsenter", `--net=${path}`, ...curl)).trim();
  }

  /** Tries until the answer is as wanted; undefined: none. */
  async awaitAnswer(pod: RunningPod, url: string, wanted: boolean): Promise<void> {
    await retry(async () => {
      const got = await this.get(pod, url).then(() => true, () => false);
      if (got !== wanted) throw new Error(`${pod.name} ${got ? "gets" : "does not get"} ${url}`);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const node of this.nodes) await this.stopAgent(node);
    await script("down");
  }
}

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}
