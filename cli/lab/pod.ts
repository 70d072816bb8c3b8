/** Pods of a lab. */

import { umount } from "../../datapath/bpf/ffi/libc.ts";
import { LabHost, type RunResult } from "./host.ts";

const MNT_DETACH = 2;

/** What a pod needs of its node. */
export interface PodNode {
  readonly name: string;
  readonly cgroup: string;
  readonly lab: { readonly directory: string };
  /** Runs the CNI plugin as a container runtime does. */
  cni(command: string, pod: LabPod, options?: CniOptions): Promise<RunResult>;
}

/** How the plugin is run. */
export interface CniOptions {
  /** @default the node's */
  config?: unknown;
  /** Put over what a runtime of Kubernetes gives. */
  env?: Record<string, string>;
}

interface CniResult {
  ips: { address: string }[];
  interfaces: { name: string; mtu?: number }[];
}

/** A pod: a namespace that the CNI plugin has put on the network. */
export class LabPod extends LabHost {
  readonly node: PodNode;
  readonly namespace: string;
  readonly podName: string;
  readonly containerId: string;
  /** Empty before ADD. */
  ipv4 = "";
  ipv6 = "";
  /** Name of the device on the node. */
  hostDevice = "";

  /** `sandbox` tells several of one pod apart. */
  constructor(node: PodNode, namespace: string, name: string, sandbox = "") {
    super(
      `${namespace}/${name}`,
      `${node.lab.directory}/pods/${namespace}.${name}${sandbox}`,
      node.cgroup,
    );
    this.node = node;
    this.namespace = namespace;
    this.podName = name;
    this.containerId = `${namespace}-${name}${sandbox}`;
  }

  async add(options?: CniOptions): Promise<void> {
    const { code, stdout, stderr } = await this.node.cni("ADD", this, options);
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
