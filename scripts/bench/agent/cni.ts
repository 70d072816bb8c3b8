/** The plugin's ADD and DEL, as a runtime sees them, beside Debian's plugins: alone and many at once. */

import type { LabNode } from "../../../cli/lab/lab.ts";
import { createNamespace, deleteNamespace } from "../../../datapath/net/netns.ts";
import { PILUS, ROOT, withNode } from "./node.ts";
import { progress, quantile, report } from "./report.ts";

/** Of Debian's containernetworking-plugins. */
const PLUGINS = "/usr/lib/cni";

const AT_ONCE = `${ROOT}scripts/bench/agent/at_once.py`;

/** How many pods are added at the same time, and how often. */
const CASES = [
  { name: "alone", width: 1, rounds: 50 },
  { name: "5 at once", width: 5, rounds: 12 },
  { name: "60 at once", width: 60, rounds: 3 },
];

/** The most that pilus may take, in times of what the first peer takes: alone and at the most at once. */
const GOALS = { ADD: 1.5, DEL: 2 } as const;

interface Plugin {
  name: string;
  program: string;
  config: unknown;
}

/** From the start of the plugin to its end, as a runtime sees it. */
export async function cni(): Promise<void> {
  await withNode([], async (node) => {
    node.lab.apply("pods", JSON.stringify(podList(node)));
    node.startAgent();
    await node.ready();
    const own = {
      name: "pilus",
      program: `${node.directory}/bin/pilus`,
      config: node.cniConfig(),
    };
    const peers = [
      peer(node, "bridge", "10.98.0.0/16", { bridge: "bench0" }),
      peer(node, "ptp", "10.99.0.0/16"),
    ].filter(({ program }) => exists(program));
    await starts(node, own);
    for (const one of CASES) await compare(node, [own, ...peers], one);
  });
}

function peer(
  node: LabNode,
  type: string,
  subnet: string,
  more: Record<string, unknown> = {},
): Plugin {
  const dataDir = `${node.lab.directory}/host-local`;
  return {
    name: `${type} + host-local`,
    program: `${PLUGINS}/${type}`,
    config: {
      cniVersion: "1.0.0",
      name: `bench-${type}`,
      type,
      ipam: { type: "host-local", subnet, dataDir },
      ...more,
    },
  };
}

/** The pods of pilus in all cases: those of a round are replicas of one workload. */
function podList(node: LabNode) {
  const items = CASES.flatMap(({ width, rounds }) =>
    Array.from({ length: rounds }, (_, round) =>
      podNames(0, width, round).map((name) => ({
        apiVersion: "v1",
        kind: "Pod",
        metadata: { namespace: "bench", name, labels: { app: `app-${width}-${round}` } },
        spec: { nodeName: node.name, containers: [{ name: "app", image: "app" }] },
      }))).flat()
  );
  return { apiVersion: "v1", kind: "List", items };
}

function podNames(plugin: number, width: number, round: number): string[] {
  return Array.from({ length: width }, (_, n) => `pod-${plugin}-${width}-${round}-${n}`);
}

/** What the program alone costs. */
async function starts(node: LabNode, own: Plugin): Promise<void> {
  for (const [name, program] of [["installed plugin", own.program], ["program", PILUS]] as const) {
    const times: number[] = [];
    for (let round = 0; round < 20; round++) {
      times.push(...await run(node, { ...own, program }, "VERSION", ["none"]));
    }
    report(`CNI VERSION, the ${name}'s start`, "median", quantile(times, 0.5), "ms");
  }
}

/** The plugins in turn, so that what else the machine does is the same for all. */
async function compare(
  node: LabNode,
  plugins: readonly Plugin[],
  { name, width, rounds }: typeof CASES[number],
): Promise<void> {
  progress(`CNI ${name}`);
  const times = plugins.map((plugin) => ({
    plugin,
    ADD: [] as number[],
    DEL: [] as number[],
  }));
  for (let round = 0; round < rounds; round++) {
    for (const [i, { plugin, ADD, DEL }] of times.entries()) {
      const pods = podNames(i, width, round);
      for (const pod of pods) createNamespace(`${node.lab.directory}/${pod}`);
      ADD.push(...await run(node, plugin, "ADD", pods));
      DEL.push(...await run(node, plugin, "DEL", pods));
      for (const pod of pods) deleteNamespace(`${node.lab.directory}/${pod}`);
    }
  }
  const [own, ...peers] = times;
  for (const verb of ["ADD", "DEL"] as const) {
    for (const [metric, q] of [["median", 0.5], ["p95", 0.95]] as const) {
      const value = quantile(own![verb], q);
      if (peers.length === 0) report(`CNI ${verb}, ${name}`, metric, value, "ms");
      for (const [i, { plugin, [verb]: theirs }] of peers.entries()) {
        report(`CNI ${verb}, ${name}`, metric, value, "ms", {
          peer: plugin.name,
          value: quantile(theirs, q),
          ...(i === 0 && metric === "median" ? { atMost: GOALS[verb] } : {}),
        });
      }
    }
  }
}

/** Runs the plugin for all pods at once, and gives the milliseconds that each took. */
async function run(
  node: LabNode,
  { program, config }: Plugin,
  command: string,
  pods: readonly string[],
): Promise<number[]> {
  const calls = pods.map((pod) => ({
    program,
    input: JSON.stringify(config),
    env: {
      CNI_COMMAND: command,
      CNI_CONTAINERID: pod,
      CNI_NETNS: `${node.lab.directory}/${pod}`,
      CNI_IFNAME: "eth0",
      CNI_PATH: PLUGINS,
      CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=bench;K8S_POD_NAME=${pod}`,
    },
  }));
  const { code, stdout, stderr } = await node.exec(["python3", AT_ONCE], {
    input: JSON.stringify({ calls }),
  });
  if (code !== 0) throw new Error(`${program} ${command}: ${stderr}`);
  return JSON.parse(stdout);
}

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}
