/**
 * A node for tests of the CNI plugin: the plugin as a real process against an endpoint manager in this
 * one. The programs are not there; the namespaces, devices, routes and packets are.
 */

import type { DatabaseSync } from "node:sqlite";
import type { Endpoint } from "../../agent/api/endpoint.ts";
import { type ApiServer, serveApi } from "../../agent/api/server.ts";
import { cniRoute } from "../../agent/node/cni/cni_route.ts";
import { openDatabase } from "../../agent/core/database.ts";
import { EndpointManager } from "../../agent/node/endpoints/endpoint_manager.ts";
import type { EndpointDatapath } from "../../agent/node/endpoints/endpoint_request.ts";
import { listLinks } from "../../datapath/net/link.ts";
import { listNeighbours } from "../../datapath/net/neighbour.ts";
import { NetlinkSocket } from "../../datapath/net/netlink.ts";
import {
  createNamespace,
  deleteNamespace,
  inNamespace,
  openNamespace,
  writeSysctls,
} from "../../datapath/net/netns.ts";
import { listRoutes } from "../../datapath/net/route.ts";
import { type CniAnswer, type PluginRun, runPlugin } from "./plugin_run.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

/** The two that are the plugin: what the agent installs, and the program itself. */
export const PLUGINS: Record<string, readonly string[]> = {
  "the installed plugin": [`${ROOT}dist/plugin/pilus`],
  "the program": [Deno.execPath(), "run", "-A", "--quiet", "--no-check", `${ROOT}main.ts`],
};
export const ROUTER_ADDRESSES = ["10.11.0.1", "fd11::1"];

/** Counts what it is asked to do. */
class Attached implements EndpointDatapath {
  readonly ids = new Set<number>();
  /** Devices that are served, as pinned programs would go on to. */
  readonly devices = new Set<number>();
  refusal: Error | undefined;

  attach({ id, hostIfindex }: Endpoint): Promise<void> {
    if (this.refusal) return Promise.reject(this.refusal);
    this.ids.add(id);
    this.devices.add(hostIfindex);
    return Promise.resolve();
  }

  detach({ id, hostIfindex }: Endpoint): Promise<void> {
    this.ids.delete(id);
    this.devices.delete(hostIfindex);
    return Promise.resolve();
  }

  serves(ifindex: number): boolean {
    return this.devices.has(ifindex);
  }
}

/** A node in a namespace of its own: manager and API here, plugin and pods as a runtime has them. */
export class CniNode implements AsyncDisposable {
  readonly directory = Deno.makeTempDirSync({ prefix: "pilus-cni-" });
  readonly netns = `${this.directory}/node`;
  readonly socket = `${this.directory}/run/pilus.sock`;
  readonly stateDir = `${this.directory}/state`;
  readonly datapath = new Attached();
  readonly pods: string[] = [];
  readonly netlink: NetlinkSocket;
  readonly podCidrs: string[];
  database!: DatabaseSync;
  manager!: EndpointManager;
  server: ApiServer | undefined;

  /** Command that runs the plugin, as words. */
  readonly plugin: readonly string[];

  constructor(
    { podCidrs = ["10.11.0.0/24", "fd11::/64"], plugin = PLUGINS["the installed plugin"]! }: {
      podCidrs?: string[];
      plugin?: readonly string[];
    } = {},
  ) {
    this.podCidrs = podCidrs;
    this.plugin = plugin;
    createNamespace(this.netns);
    using namespace = openNamespace(this.netns);
    this.netlink = NetlinkSocket.open({ netns: namespace.fd });
    inNamespace(
      namespace.fd,
      () => writeSysctls([["ipv4/ip_forward", "1"], ["ipv6/conf/all/forwarding", "1"]]),
    );
  }

  async start(): Promise<this> {
    this.database = openDatabase(`${this.stateDir}/pilus.db`);
    this.manager = new EndpointManager({
      database: this.database,
      runDirectory: `${this.directory}/run`,
      podCidrs: this.podCidrs,
      clusterCidrs: ["10.0.0.0/8", "fd00::/8"],
      mtu: 1500,
      clusterMtu: 1450,
      datapath: this.datapath,
      netns: this.netns,
    });
    await this.manager.restore();
    this.server = await serveApi({
      socket: this.socket,
      routes: cniRoute({
        manager: this.manager,
        stateDir: this.stateDir,
        health: () => ({ ok: true }),
      }),
    });
    return this;
  }

  async stop(): Promise<void> {
    await this.server?.[Symbol.asyncDispose]();
    this.server = undefined;
    this.manager[Symbol.dispose]();
    this.database.close();
  }

  pod(name: string): string {
    const path = `${this.directory}/pod-${name}`;
    createNamespace(path);
    this.pods.push(path);
    return path;
  }

  config(more: Record<string, unknown> = {}): Record<string, unknown> {
    const { socket, stateDir } = this;
    return { cniVersion: "1.1.0", name: "pilus", type: "pilus", socket, stateDir, ...more };
  }

  /** Runs the plugin as a process. */
  cni(
    command: string,
    name: string,
    { config = this.config(), env = {} }: Partial<Pick<PluginRun, "config" | "env">> = {},
  ): Promise<CniAnswer> {
    return runPlugin(this.plugin, {
      env: {
        CNI_COMMAND: command,
        CNI_CONTAINERID: `container-${name}`,
        CNI_NETNS: `${this.directory}/pod-${name}`,
        CNI_IFNAME: "eth0",
        CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=demo;K8S_POD_NAME=${name}`,
        CNI_PATH: "/nowhere",
        ...env,
      },
      config,
    });
  }

  /** What is left of pods on the node, in words. */
  leftovers(): string[] {
    const links = listLinks(this.netlink).map((l) => l.name).filter((name) => name !== "lo");
    const routes = listRoutes(this.netlink).map((r) => `route ${r.destination.address}`);
    const neighbours = listNeighbours(this.netlink).map((n) => `neighbour ${n.ip}`);
    return [...links, ...routes, ...neighbours];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.server) await this.stop();
    this.netlink[Symbol.dispose]();
    for (const path of [...this.pods, this.netns]) deleteNamespace(path);
    Deno.removeSync(this.directory, { recursive: true });
  }
}

/** Whether an answer comes. */
export async function ping(netns: string, address: string): Promise<boolean> {
  const { success } = await new Deno.Command("nsenter", {
    args: [`--net=${netns}`, "ping", "-n", "-c1", "-W2", address],
    stdout: "null",
    stderr: "null",
  }).output();
  return success;
}
