/**
 * What a pod's network gives to programs, beside what else there is on the same machine in the same
 * run: loopback inside one namespace, plain routed veth, Debian's bridge plugin without and with
 * iptables rules, and between two nodes plain routing and the kernel's own VXLAN with a bridge. All
 * setups stand at the same time; rounds are interleaved; figures are medians with their spread.
 *
 * Usage: deno run -A scripts/bench/pods.ts [ROUNDS [SECONDS [MODE [SETUP]]]]; MODE and SETUP are
 * parts of names, and choose. Needs dist/pilus, clang and, for rows that are left out otherwise,
 * Debian's containernetworking-plugins, iptables, nginx-light and wrk. Writes dist/bench/pods.json.
 */

import { fromFileUrl } from "@std/path";
import { Lab } from "../../cli/lab/lab.ts";
import { measure, type Mode, requests, startNginx } from "./pods/conversations.ts";
import { bridged, kernelVxlan, ours, plainRouting, RULES, run } from "./pods/setups.ts";

const ROOT = fromFileUrl(new URL("../../", import.meta.url));
const ROUNDS = Number(Deno.args[0] ?? 5), SECONDS = Number(Deno.args[1] ?? 0.5);
const ONLY = Deno.args[2] ?? "", ONLY_SETUP = Deno.args[3] ?? "";

const MODES = ([
  { name: "request/response 1 B", words: ["rr", 1], unit: "1/s" },
  { name: "request/response 1 KB", words: ["rr", 1024], unit: "1/s" },
  { name: "connect+request+close", words: ["crr", 1], unit: "1/s" },
  { name: "stream", words: ["stream", 65536], unit: "Gbit/s" },
  {
    name: "stream, receiver never asleep",
    words: ["awake", 65536],
    unit: "Gbit/s",
    apart: true,
  },
  { name: "UDP request/response 1 B", words: ["udp", 1], unit: "1/s" },
] satisfies Mode[] as Mode[]).filter(({ name }) => name.includes(ONLY));
const HTTP = "HTTP, wrk to nginx";
/** Both ends on one CPU, and on two. */
const CPUS = { "one CPU": [1, 1], "two CPUs": [1, 0] } as const;

/** Who each setup is compared with. */
const PEERS: Record<string, string> = {
  "pilus, sockmap": "plain veth",
  "pilus, no sockmap": "plain veth",
  "pilus, nodes, native": "nodes, plain routing",
  "pilus, nodes, VXLAN": "nodes, VXLAN and bridge",
};

const peerOf = (name: string): string => PEERS[name] ?? "loopback";

interface Row {
  case: string;
  metric: string;
  value: number;
  unit: string;
  peer: string;
  ratio: number;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}

/** Half of the distance between the quartiles, as a share of the median. */
function spread(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.round(share * (sorted.length - 1))]!;
  return (at(0.75) - at(0.25)) / 2 / median(values);
}

function has(program: string): boolean {
  return new Deno.Command("which", { args: [program], stdout: "null" }).outputSync().success;
}

const directory = Deno.makeTempDirSync({ prefix: "pilus-bench-" });
await using stack = new AsyncDisposableStack();
stack.defer(() => Deno.removeSync(directory, { recursive: true }));
const traffic = `${directory}/traffic`;
const compiled = new Deno.Command("clang-19", {
  args: ["-O2", "-o", traffic, `${ROOT}scripts/bench/traffic.c`],
}).outputSync();
if (!compiled.success) throw new Error(new TextDecoder().decode(compiled.stderr));

const makeLab = async (name: string, options: Partial<Parameters<typeof Lab.create>[0]> = {}) => {
  const lab = stack.use(
    await Lab.create({
      directory: `/run/pilus-bench-${Deno.pid}-${name}`,
      nodes: ["node-a", "node-b"],
      program: [`${ROOT}dist/pilus`],
      ...options,
    }),
  );
  // the wire between the nodes is no firewall
  await run(lab.wire, "sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=0");
  return lab;
};
/** The default; labs look for damage more often than nodes do. */
const REPAIR = ["--repair-interval", "30"];
const plain = await makeLab("plain");
const bridges = await makeLab("bridge");
const vxlan = await makeLab("vxlan", {
  routing: "vxlan",
  agentArgs: [...REPAIR, "--sockmap", "on"],
});
const native = await makeLab("native", {
  routing: "native",
  agentArgs: [...REPAIR, "--sockmap", "off"],
});
const standing = [
  ...await plainRouting(plain),
  ...await bridged(bridges.nodes[0]!, "bridge plugin", false),
  ...await bridged(bridges.nodes[1]!, `bridge plugin, ${RULES} iptables rules`, true),
  ...await kernelVxlan(plain),
  ...await ours(vxlan, "pilus, sockmap", "pilus, nodes, VXLAN"),
  ...await ours(native, "pilus, no sockmap", "pilus, nodes, native"),
];

/** Each next to what it is compared with, and without those that were not asked for. */
const order = [
  ...["loopback", "plain veth", "pilus, sockmap", "pilus, no sockmap", "bridge plugin"],
  ...[`bridge plugin, ${RULES} iptables rules`, "nodes, plain routing", "pilus, nodes, native"],
  ...["nodes, VXLAN and bridge", "pilus, nodes, VXLAN"],
];
const chosen = order.filter((name) => name.includes(ONLY_SETUP));
const setups = order
  .filter((name) => chosen.includes(name) || chosen.some((other) => peerOf(other) === name))
  .flatMap((name) => standing.filter((setup) => setup.name === name));

/** Rates and CPU times by case. */
const rates = new Map<string, number[]>(), cpus = new Map<string, number[]>();
const note = (to: Map<string, number[]>, key: string, value: number) =>
  to.set(key, [...to.get(key) ?? [], value]);
const keyOf = (setup: string, mode: string, cpu: string) => `${setup}|${mode}|${cpu}`;
const wanted = HTTP.includes(ONLY);
const http = wanted && has("nginx") && has("wrk");
if (wanted && !http) console.error(`left out: ${HTTP} (apt install nginx-light wrk)`);
{
  await using _nginx = http ? await startNginx(setups, directory) : undefined;
  for (let round = 0; round < ROUNDS; round++) {
    for (const [cpu, pinned] of Object.entries(CPUS)) {
      for (const mode of MODES) {
        if (mode.apart && pinned[0] === pinned[1]) continue;
        // back and forth: a machine that grows slower or faster favours nobody
        for (const setup of round % 2 ? setups.toReversed() : setups) {
          const [rate, time] = await measure(traffic, SECONDS, setup, mode, pinned);
          note(rates, keyOf(setup.name, mode.name, cpu), rate);
          note(cpus, keyOf(setup.name, mode.name, cpu), time);
        }
      }
    }
    for (const setup of http ? setups : []) {
      note(rates, keyOf(setup.name, HTTP, "two CPUs"), await requests(setup, 1, SECONDS));
    }
    console.error(`round ${round + 1} of ${ROUNDS}`);
  }
}

const rows: Row[] = [];
const modes = [...MODES, ...(http ? [{ name: HTTP, unit: "1/s" }] : [])];
for (const cpu of Object.keys(CPUS)) {
  for (const { name: mode, unit } of modes) {
    if (!rates.has(keyOf(setups[0]!.name, mode, cpu))) continue;
    console.log(
      `\n${mode}, ${cpu}${" ".repeat(48 - mode.length - cpu.length)}${unit.padStart(10)}` +
        `  spread  CPU µs  ratio  of`,
    );
    for (const { name } of setups) {
      const key = keyOf(name, mode, cpu), values = rates.get(key)!;
      const peer = peerOf(name);
      // each round by itself: the machine's moods are in both
      const others = rates.get(keyOf(peer, mode, cpu))!;
      const ratio = median(values.map((value, i) => value / others[i]!));
      const times = cpus.get(key);
      rows.push({
        case: name,
        metric: `${mode}, ${cpu}`,
        value: median(values),
        unit,
        peer,
        ratio,
      });
      if (times) {
        const other = median(cpus.get(keyOf(peer, mode, cpu))!);
        const value = median(times);
        const metric = `${mode}, ${cpu}, CPU`;
        rows.push({ case: name, metric, value, unit: "µs", peer, ratio: value / other });
      }
      const shown = unit === "1/s" ? median(values).toFixed(0) : median(values).toFixed(2);
      console.log(
        `  ${name.padEnd(46)}${shown.padStart(12)}  ${
          `${(spread(values) * 100).toFixed(0)} %`.padStart(6)
        }  ${(times ? median(times).toFixed(2) : "").padStart(6)}  ${
          ratio.toFixed(2).padStart(5)
        }  ${peer}`,
      );
    }
  }
}
Deno.mkdirSync(`${ROOT}dist/bench`, { recursive: true });
Deno.writeTextFileSync(`${ROOT}dist/bench/pods.json`, JSON.stringify(rows, null, 2) + "\n");
