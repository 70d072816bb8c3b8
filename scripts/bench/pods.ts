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
import { Lab, type LabHost, type LabNode, type LabPod } from "../../cli/lab/lab.ts";

const ROOT = fromFileUrl(new URL("../../", import.meta.url));
const ROUNDS = Number(Deno.args[0] ?? 5), SECONDS = Number(Deno.args[1] ?? 0.5);
const BRIDGE_PLUGIN = "/usr/lib/cni/bridge";
/** Rules that a packet walks through where a node uses iptables. */
const RULES = 100;

const ONLY = Deno.args[2] ?? "", ONLY_SETUP = Deno.args[3] ?? "";

/** A pair of ends. */
interface Setup {
  name: string;
  client: LabHost;
  server: LabHost;
  address: string;
  /** Joined by both ends; undefined where nothing watches sockets. */
  cgroup?: string;
}

/** A kind of conversation; see traffic.c. */
interface Mode {
  name: string;
  words: readonly [mode: string, size: number];
  unit: string;
  /** Left out where both ends share a CPU. */
  apart?: boolean;
}

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

async function run(host: LabHost, ...words: string[]): Promise<string> {
  const { code, stdout, stderr } = await host.exec(words);
  if (code !== 0) throw new Error(`${words.join(" ")} in ${host.name}: ${stderr}`);
  return stdout;
}

/** A veth between a node and a namespace, with an address there and nothing of pilus. */
async function wirePod(
  node: LabNode,
  pod: LabPod,
  device: string,
  address: string,
  mtu: number,
): Promise<void> {
  await run(
    node,
    ...["ip", "link", "add", device, "mtu", String(mtu), "type", "veth"],
    ...["peer", "name", "eth0", "mtu", String(mtu), "netns", pod.netns],
  );
  await run(node, "ip", "link", "set", device, "up");
  await run(pod, "ip", "address", "add", address, "dev", "eth0");
  await run(pod, "ip", "link", "set", "eth0", "up");
}

/** Pods by routes alone: both on the first node, and one on the second. */
async function plainRouting(lab: Lab): Promise<Setup[]> {
  const [a, b] = lab.nodes as [LabNode, LabNode];
  const pods: LabPod[] = [];
  for (const [i, node] of [a, a, b].entries()) {
    const pod = node.createPod("plain", `p${i}`);
    await wirePod(node, pod, `p${i}`, `10.98.${i}.2/24`, 1500);
    await run(node, "ip", "address", "add", `10.98.${i}.1/24`, "dev", `p${i}`);
    await run(node, "sysctl", "-qw", "net.ipv4.ip_forward=1");
    await run(pod, "ip", "route", "add", "default", "via", `10.98.${i}.1`);
    pods.push(pod);
  }
  await run(a, "ip", "route", "add", "10.98.2.0/24", "via", b.ipv4);
  for (const i of [0, 1]) {
    await run(b, "ip", "route", "add", `10.98.${i}.0/24`, "via", a.ipv4);
  }
  const [one, two, far] = pods as [LabPod, LabPod, LabPod];
  return [
    { name: "loopback", client: one, server: one, address: "127.0.0.1" },
    { name: "plain veth", client: one, server: two, address: "10.98.1.2" },
    { name: "nodes, plain routing", client: one, server: far, address: "10.98.2.2" },
  ];
}

/** Pods on the bridge of Debian's plugin, in a node of their own. */
async function bridged(node: LabNode, name: string, rules: boolean): Promise<Setup[]> {
  try {
    Deno.statSync(BRIDGE_PLUGIN);
  } catch {
    console.error(`left out: ${name} (apt install containernetworking-plugins iptables)`);
    return [];
  }
  const pods: LabPod[] = [];
  for (const i of [0, 1]) {
    const pod = node.createPod("bridge", `${node.name}-${i}`);
    const config = {
      cniVersion: "1.0.0",
      name: "bench",
      type: "bridge",
      bridge: "cni0",
      isGateway: true,
      ipMasq: rules,
      ipam: { type: "host-local", subnet: "10.97.0.0/24", dataDir: `${node.directory}/ipam` },
    };
    const { code, stdout, stderr } = await node.exec([BRIDGE_PLUGIN], {
      input: JSON.stringify(config),
      env: {
        CNI_COMMAND: "ADD",
        CNI_CONTAINERID: pod.containerId,
        CNI_NETNS: pod.netns,
        CNI_IFNAME: "eth0",
        CNI_PATH: "/usr/lib/cni",
      },
    });
    if (code !== 0) throw new Error(`bridge plugin: ${stdout}${stderr}`);
    pod.ipv4 = JSON.parse(stdout).ips[0].address.split("/")[0];
    pods.push(pod);
  }
  const [client, server] = pods as [LabPod, LabPod];
  if (rules) {
    for (let i = 0; i < RULES; i++) {
      await run(node, "iptables", "-A", "FORWARD", "-s", `10.1.${i}.0/24`, "-j", "DROP");
    }
    const established = ["-m", "conntrack", "--ctstate", "ESTABLISHED,NEW", "-j", "ACCEPT"];
    await run(node, "iptables", "-A", "FORWARD", ...established);
  } else {
    await run(node, "sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=0");
  }
  return [{ name, client, server, address: server.ipv4 }];
}

/** Pods on a bridge over the kernel's VXLAN, one on each node. */
async function kernelVxlan(lab: Lab): Promise<Setup[]> {
  const nodes = lab.nodes as [LabNode, LabNode];
  const pods: LabPod[] = [];
  for (const [i, node] of nodes.entries()) {
    const other = nodes[1 - i]!;
    await run(
      node,
      ...["ip", "link", "add", "vx0", "type", "vxlan", "id", "42", "dstport", "8473"],
      ...["local", node.ipv4, "remote", other.ipv4, "dev", "eth0"],
    );
    await run(node, "ip", "link", "add", "br0", "type", "bridge");
    await run(node, "sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=0");
    const pod = node.createPod("vxlan", `v${i}`);
    await wirePod(node, pod, "v0", `10.96.0.${i + 1}/24`, 1450);
    for (const device of ["vx0", "v0"]) {
      await run(node, "ip", "link", "set", device, "master", "br0", "up");
    }
    await run(node, "ip", "link", "set", "br0", "up");
    pods.push(pod);
  }
  const [client, server] = pods as [LabPod, LabPod];
  return [{ name: "nodes, VXLAN and bridge", client, server, address: "10.96.0.2" }];
}

/** Pods of ours: two on the first node and one on the second. */
async function ours(lab: Lab, near: string, far: string): Promise<Setup[]> {
  await lab.startAgents();
  const [a, b] = lab.nodes as [LabNode, LabNode];
  const pods: LabPod[] = [];
  for (const [i, node] of [a, a, b].entries()) {
    const metadata = { name: `p${i}`, namespace: "bench", labels: { app: "bench" } };
    const spec = { nodeName: node.name };
    lab.apply(`pod-${i}`, JSON.stringify({ apiVersion: "v1", kind: "Pod", metadata, spec }));
    pods.push(await node.addPod("bench", `p${i}`));
  }
  const [client, server, away] = pods as [LabPod, LabPod, LabPod];
  const ping = async (to: LabPod) => {
    for (let i = 0; i < 50; i++) {
      if ((await client.exec(["ping", "-c1", "-W1", to.ipv4])).code === 0) return;
    }
    throw new Error(`${to.name} does not answer`);
  };
  await ping(server);
  await ping(away);
  return [
    { name: near, client, server, address: server.ipv4, cgroup: a.cgroup },
    { name: far, client, server: away, address: away.ipv4, cgroup: lab.cgroup },
  ];
}

/** Operations a second (or Gbit/s), and CPU microseconds an operation. */
async function measure(
  traffic: string,
  { client, server, address, cgroup }: Setup,
  { words: [mode, size], unit }: Mode,
  [clientCpu, serverCpu]: readonly [number, number],
): Promise<[rate: number, cpu: number]> {
  const { success, stdout, stderr } = await new Deno.Command(traffic, {
    args: [
      ...[mode, String(size), String(SECONDS), client.netns, server.netns, address],
      ...[String(clientCpu), String(serverCpu)],
      ...(cgroup ? [cgroup] : []),
    ],
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  const { operations, bytes, seconds, cpu } = JSON.parse(new TextDecoder().decode(stdout));
  const rate = unit === "Gbit/s" ? bytes * 8 / 1e9 / seconds : operations / seconds;
  return [rate, cpu / operations * 1e6];
}

/** nginx in every server's namespace, with what ends it. */
async function startNginx(setups: readonly Setup[], directory: string): Promise<AsyncDisposable> {
  const stack = new AsyncDisposableStack();
  for (const [i, { server, cgroup }] of setups.entries()) {
    const own = `${directory}/nginx-${i}`;
    Deno.mkdirSync(own);
    Deno.writeTextFileSync(
      `${own}/nginx.conf`,
      `daemon off; master_process off; pid ${own}/pid; error_log ${own}/error.log;
      events { worker_connections 256; }
      http {
        access_log off; client_body_temp_path ${own}/b; proxy_temp_path ${own}/p;
        fastcgi_temp_path ${own}/f; uwsgi_temp_path ${own}/u; scgi_temp_path ${own}/s;
        keepalive_requests 1000000000;
        server { listen 8088; location / { return 200 "hello from the pod\\n"; } }
      }`,
    );
    const child = server.spawn(["nginx", "-c", `${own}/nginx.conf`, "-p", own], {
      cgroup: cgroup !== undefined,
    }, { stdout: "null", stderr: "null" });
    stack.defer(async () => {
      child.kill("SIGKILL");
      await child.status;
    });
  }
  await new Promise((resolve) => setTimeout(resolve, 500));
  return stack;
}

async function requests({ client, address, cgroup }: Setup, cpu: number): Promise<number> {
  const seconds = Math.max(1, Math.round(SECONDS));
  const words = ["taskset", "-c", String(cpu), "wrk", "-t1", "-c16", `-d${seconds}`];
  const { stdout, stderr, code } = await client.exec([...words, `http://${address}:8088/`], {
    cgroup: cgroup !== undefined,
  });
  const rate = /Requests\/sec:\s+([0-9.]+)/.exec(stdout)?.[1];
  if (code !== 0 || !rate || /Socket errors/.test(stdout)) {
    throw new Error(`wrk: ${stdout}${stderr}`);
  }
  return Number(rate);
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
          const [rate, time] = await measure(traffic, setup, mode, pinned);
          note(rates, keyOf(setup.name, mode.name, cpu), rate);
          note(cpus, keyOf(setup.name, mode.name, cpu), time);
        }
      }
    }
    for (const setup of http ? setups : []) {
      note(rates, keyOf(setup.name, HTTP, "two CPUs"), await requests(setup, 1));
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
