/** The lab as tests use it: checked to be clean at its end, and nothing may be left behind. */

import { assertEquals } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { Lab, type LabHost, type LabNode, type LabOptions, LabPod } from "../../cli/lab/lab.ts";
import type { FlowView, IpcacheView } from "../../agent/api/views.ts";
import type { MetricRow } from "../../agent/api/metrics_text.ts";
import { BpfMap } from "../../datapath/bpf/mod.ts";
import { PEER, settle } from "./clients.ts";

const ROOT = fromFileUrl(new URL("../../", import.meta.url));

/** Counted, and nothing that a test does: pods' stacks look for routers and neighbours. */
const CHATTER = "Multicast or link-local chatter";

/** Milliseconds after which another node knows a pod, or has a reason not to. */
const PUBLISHED_MS = 3_000;

/** The program under test: dist/pilus, or with LAB_FROM_SOURCE=1 the sources. */
export function pilus(): string[] {
  if (Deno.env.get("LAB_FROM_SOURCE")) {
    return [Deno.execPath(), "run", "-A", "--quiet", "--no-check", `${ROOT}main.ts`];
  }
  return [`${ROOT}dist/pilus`];
}

/** What a test has, and what it has to say for itself. */
export interface Story {
  lab: Lab;
  /** The first and the second node. */
  a: LabNode;
  b: LabNode;
  /** Pods that were made by {@linkcode Story.pod}. */
  pods: LabPod[];
  /** A pod with a manifest and a server in it (see peer.py), all reachable from now on. */
  pod(node: LabNode, name: string, options?: PodOptions): Promise<LabPod>;
  /** Starts a server (see peer.py) in a node or outside. */
  serve(host: LabHost): Promise<void>;
  /** Drops for this reason are part of the story from now on. */
  expectDrops(...reasons: string[]): void;
  /** Lines at level error with this in them are part of the story. */
  expectErrors(...texts: string[]): void;
}

export interface PodOptions {
  /** @default {"demo"} */
  namespace?: string;
  /** @default {{ app: name }} */
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  /** @default {true} */
  server?: boolean;
}

export interface StoryOptions
  extends Partial<Pick<LabOptions, "routing" | "outsideMtu" | "mtu" | "nodeManifests">> {
  agentArgs?: readonly string[];
  /** @default {2} */
  nodes?: number;
  /** Keeps the last drops for the report of a failure; millions of them are not read. @default {true} */
  followDrops?: boolean;
}

/**
 * Runs `story` in a lab of its own. At the end there must be no drop and no error that it did not
 * expect, and of the lab nothing.
 */
export async function withLab(
  { nodes = 2, followDrops = true, ...options }: StoryOptions,
  story: (story: Story) => Promise<void>,
): Promise<void> {
  const directory = Deno.makeTempDirSync({ dir: "/run", prefix: "pilus-lab-" });
  Deno.removeSync(directory);
  const names = ["node-a", "node-b", "node-c"].slice(0, nodes);
  const lab = await Lab.create({ directory, nodes: names, program: pilus(), ...options });
  const told = new StoryOf(lab);
  let maps: number[] = [];
  try {
    try {
      await lab.startAgents();
      await using _events = followDrops ? await told.listen() : undefined;
      await story(told);
      await told.assertClean();
    } catch (error) {
      for (const node of lab.nodes) console.error(`--- log of ${node.name}\n${node.logText()}`);
      for (const line of told.drops.slice(-10)) console.error(`drop: ${line}`);
      throw error;
    }
  } finally {
    maps = pinnedMaps(lab);
    await lab[Symbol.asyncDispose]();
    await Promise.all(told.servers.map((child) => child.status));
  }
  const left = await settle(() => leftovers(lab, maps), (rows) => rows.length === 0);
  assertEquals(left, [], "left behind");
}

class StoryOf implements Story {
  readonly lab: Lab;
  readonly a: LabNode;
  readonly b: LabNode;
  readonly pods: LabPod[] = [];
  /** The last drops, in words. */
  readonly drops: string[] = [];
  readonly #reasons = new Set([CHATTER]);
  readonly #errors: string[] = [];
  /** Awaited when the lab has ended them. */
  readonly servers: Deno.ChildProcess[] = [];

  constructor(lab: Lab) {
    // so that a story can take them apart
    this.pod = this.pod.bind(this);
    this.serve = this.serve.bind(this);
    this.expectDrops = this.expectDrops.bind(this);
    this.expectErrors = this.expectErrors.bind(this);
    this.lab = lab;
    this.a = lab.nodes[0]!;
    this.b = lab.nodes[1] ?? lab.nodes[0]!;
  }

  async pod(
    node: LabNode,
    name: string,
    { namespace = "demo", labels = { app: name }, annotations, server = true }: PodOptions = {},
  ): Promise<LabPod> {
    this.lab.apply(
      `pod-${namespace}-${name}`,
      podManifest(node, namespace, name, labels, annotations),
    );
    const pod = await node.addPod(namespace, name);
    const remove = pod.delete.bind(pod);
    pod.delete = () => {
      // peers go on sending for a while
      this.expectDrops("No known pod has the address");
      return remove();
    };
    this.pods.push(pod);
    await Promise.all(
      this.lab.nodes.filter((other) => other !== node).map((other) =>
        settle(() => knows(other, pod), (known) => known, PUBLISHED_MS)
      ),
    );
    if (server) await this.serve(pod);
    return pod;
  }

  async serve(host: LabHost): Promise<void> {
    const name = host instanceof LabPod ? host.podName : host.name;
    const child = host.spawn([...PEER, "serve", name], {}, { stderr: "inherit" });
    this.servers.push(child);
    const reader = child.stdout.getReader();
    await reader.read();
    await reader.cancel();
  }

  expectDrops(...reasons: string[]): void {
    for (const reason of reasons) this.#reasons.add(reason);
  }

  expectErrors(...texts: string[]): void {
    this.#errors.push(...texts);
  }

  /** Keeps the last drops for the report of a failure, until it is disposed. */
  async listen(): Promise<AsyncDisposable> {
    const stop = new AbortController();
    const done = this.lab.nodes.map(async (node) => {
      try {
        const flows = node.client.stream<FlowView>("/v1/monitor?type=drop", {
          signal: stop.signal,
        });
        for await (const { time, reason, source, destination, protocol, rule } of flows) {
          this.drops.push(
            `${time} ${node.name} ${reason}: ${protocol} ${source.ip} → ${destination.ip}:` +
              `${destination.port ?? ""} ${rule?.text ?? ""}`,
          );
        }
      } catch {
        // the agent was ended, or the story
      }
    });
    await Promise.resolve();
    return {
      [Symbol.asyncDispose]: async () => {
        stop.abort();
        await Promise.all(done);
      },
    };
  }

  async assertClean(): Promise<void> {
    for (const node of this.lab.nodes) {
      const rows = await node.client.call<MetricRow[]>("/v1/metrics");
      const drops = rows.filter(({ name, labels }) =>
        name === "pilus_drop_count_total" && !this.#reasons.has(labels.reason ?? "")
      ).map(({ labels, value }) => `${labels.reason} (${labels.direction}): ${value}`);
      assertEquals(drops, [], `unexpected drops on ${node.name}`);
      const errors = node.logText().split("\n").filter((line) =>
        (/^\S+ error /.test(line) || !/^\S+ (error|warn|info|debug) /.test(line) && line !== "") &&
        !this.#errors.some((text) => line.includes(text))
      );
      assertEquals(errors, [], `errors in the log of ${node.name}`);
    }
  }
}

/** Whether the node knows another node's pod, or has no agent to ask: until then it is nobody there. */
async function knows({ client }: LabNode, { ipv4 }: LabPod): Promise<boolean> {
  const rows = await client.call<IpcacheView[]>("/v1/ipcache").catch(() => undefined);
  return !rows || rows.some(({ prefix, kind }) => prefix === ipv4 && kind === "remote");
}

/** The Pod, with port 8080 by name. */
export function podManifest(
  { name: nodeName }: LabNode,
  namespace: string,
  name: string,
  labels: Record<string, string> = { app: name },
  annotations: Record<string, string> = {},
): string {
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace, labels, annotations },
    spec: {
      nodeName,
      containers: [{
        name: "peer",
        image: "peer",
        ports: [{ name: "http", containerPort: 8080 }],
      }],
    },
  });
}

/** What is there of the lab, in words. A map lives as long as a program or a link needs it. */
async function leftovers({ directory, cgroup }: Lab, mapIds: readonly number[]): Promise<string[]> {
  const mounts = Deno.readTextFileSync("/proc/self/mounts").split("\n")
    .filter((line) => line.includes(`${directory}/`));
  const paths = [directory, cgroup].filter((path) => existsSync(path));
  const { stdout } = await new Deno.Command("bpftool", { args: ["-j", "map", "show"] }).output();
  const maps = JSON.parse(new TextDecoder().decode(stdout) || "[]") as { id: number }[];
  const own = maps.filter(({ id }) => mapIds.includes(id)).map(({ id }) => `BPF map ${id}`);
  return [...mounts, ...paths, ...own];
}

function pinnedMaps(lab: Lab): number[] {
  return lab.nodes.flatMap((node) => {
    const directory = `${node.directory}/bpf/pilus/maps`;
    if (!existsSync(directory)) return [];
    return [...Deno.readDirSync(directory)].map(({ name }) => {
      using map = BpfMap.openPinned(`${directory}/${name}`);
      return map.id;
    });
  });
}

function existsSync(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}
