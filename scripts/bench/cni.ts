/**
 * How long it takes to give a pod its network, as the runtime sees it: the CNI plugin as a process,
 * from start to exit. Beside it the floor (starting the binary), the cost of the bare namespace and
 * Debian's bridge plugin with host-local. Writes dist/bench/cni.json.
 *
 * deno run -A scripts/bench/cni.ts [rounds]
 */

import { Lab } from "../../cli/demo_lab.ts";
import { createNamespace, deleteNamespace } from "../../datapath/net/netns.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const PILUS = `${ROOT}dist/pilus`;
const BRIDGE = "/usr/lib/cni/bridge";
const rounds = Number(Deno.args[0] ?? 30);

interface Row {
  case: string;
  metric: string;
  value: number;
  unit: "ms";
  peer: string;
  ratio: number | null;
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}

async function timed(work: () => Promise<unknown> | unknown): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/** Runs a plugin in the node's namespace, as a runtime would. */
function plugin(
  lab: Lab,
  program: string,
  command: string,
  id: string,
  netns: string,
  config: unknown,
) {
  return lab.nodes[0]!.exec([program], {
    input: JSON.stringify(config),
    env: {
      CNI_COMMAND: command,
      CNI_CONTAINERID: id,
      CNI_NETNS: netns,
      CNI_IFNAME: "eth0",
      CNI_PATH: "/usr/lib/cni",
    },
  }).then((result) => {
    if (result.code !== 0) {
      throw new Error(`${program} ${command}: ${result.stdout}${result.stderr}`);
    }
  });
}

const directory = `${Deno.makeTempDirSync()}/lab`;
await using lab = await Lab.create({ directory, nodes: ["bench"], program: [PILUS] });
await lab.startAgents();
const config = lab.nodes[0]!.cniConfig();
const bridge = {
  cniVersion: "1.0.0",
  name: "bench",
  type: "bridge",
  bridge: "bench0",
  ipam: { type: "host-local", subnet: "10.99.0.0/16", dataDir: `${directory}/host-local` },
};
const haveBridge = (() => {
  try {
    return Deno.statSync(BRIDGE).isFile;
  } catch {
    return false;
  }
})();

const times: Record<string, number[]> = {
  namespace: [],
  process: [],
  start: [],
  add: [],
  del: [],
  bridge: [],
};
for (let round = 0; round < rounds; round++) {
  const a = `${directory}/ns-a${round}`, b = `${directory}/ns-b${round}`;
  times.namespace!.push(await timed(() => createNamespace(a)));
  createNamespace(b);
  times.process!.push(await timed(() => lab.nodes[0]!.exec(["/bin/true"])));
  times.start!.push(await timed(() => plugin(lab, PILUS, "VERSION", `v${round}`, a, config)));
  times.add!.push(await timed(() => plugin(lab, PILUS, "ADD", `a${round}`, a, config)));
  if (haveBridge) {
    times.bridge!.push(await timed(() => plugin(lab, BRIDGE, "ADD", `b${round}`, b, bridge)));
    await plugin(lab, BRIDGE, "DEL", `b${round}`, b, bridge);
  }
  times.del!.push(await timed(() => plugin(lab, PILUS, "DEL", `a${round}`, a, config)));
  deleteNamespace(a);
  deleteNamespace(b);
}

const start = median(times.process!);
const peer = times.bridge!.length > 0 ? median(times.bridge!) - start : undefined;
const names: [string, string][] = [
  ["namespace", "a bare namespace"],
  ["process", "starting /bin/true in the node, subtracted below"],
  ["start", "pilus VERSION: the floor of the binary"],
  ["add", "pilus ADD"],
  ["bridge", "bridge + host-local ADD"],
  ["del", "pilus DEL"],
];
const rows: Row[] = [];
console.log(`median of ${rounds}, in ms`);
for (const [key, name] of names) {
  const values = times[key]!;
  if (values.length === 0) {
    console.log(`${name.padEnd(52)} not installed (containernetworking-plugins)`);
    continue;
  }
  const value = median(values) - (key === "namespace" || key === "process" ? 0 : start);
  const ratio = peer && key === "add" ? value / peer : null;
  const spread = values.toSorted((x, y) => x - y);
  console.log(
    `${name.padEnd(52)} ${value.toFixed(1).padStart(7)}  (${spread[0]!.toFixed(1)} to ${
      spread.at(-1)!.toFixed(1)
    } with the process)${ratio ? `  ${ratio.toFixed(1)} x bridge` : ""}`,
  );
  rows.push({ case: key, metric: "median", value, unit: "ms", peer: "bridge + host-local", ratio });
}
Deno.mkdirSync(`${ROOT}dist/bench`, { recursive: true });
Deno.writeTextFileSync(`${ROOT}dist/bench/cni.json`, JSON.stringify(rows, null, 2) + "\n");
