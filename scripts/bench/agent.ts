/**
 * What the agent costs and how fast it is, as the compiled program in a lab: the plugin's ADD, start
 * to ready, memory, a policy's way from the file to the endpoints, and events.
 *
 * Usage: deno run -A scripts/bench/agent.ts [cni|memory|pods|events ...], by default all of them.
 * Writes dist/bench/agent.json; exits 1 when a limit is not kept.
 */

import type { MetricRow } from "../../agent/api/metrics_text.ts";
import { Lab, type LabNode } from "../../cli/lab/lab.ts";
import { TypedMap } from "../../datapath/bpf/mod.ts";
import { EventType, maps } from "../../datapath/maps/generated.ts";
import { createNamespace, deleteNamespace } from "../../datapath/net/netns.ts";
import { EventSource } from "../../datapath/testdata/event_source.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const PILUS = `${ROOT}dist/pilus`;
/** Of Debian's containernetworking-plugins. */
const PLUGINS = "/usr/lib/cni";
const ADDS = 50;
const PODS = 100;
const SERVICES = 10_000;
const BACKENDS = 10;
const REMOTE = 50_000;
const STARTS = 9;
const POLICY_ROUNDS = 100;
const EVENT_SECONDS = 5;
const DRAINED_PER_SECOND = 1_000_000;
const DECODED_PER_SECOND = 200_000;
/** Memory is read when the agent has had nothing to do for so long. */
const QUIET_MS = 40_000;

interface Row {
  case: string;
  metric: string;
  value: number;
  unit: string;
  /** The name of what the value is compared with. */
  peer: string;
  ratio: number | null;
}

interface Limit {
  limit: number;
  /** @default "most" */
  is?: "most" | "least";
}

/** Another program's figure of the same run. */
interface Peer {
  peer: string;
  value: number;
}

const rows: Row[] = [];
let broken = 0;

function report(
  name: string,
  metric: string,
  value: number,
  unit: string,
  against?: Limit | Peer,
): void {
  let peer = "", ratio: number | null = null, kept = true;
  if (against && "limit" in against) {
    const { limit, is = "most" } = against;
    peer = `at ${is} ${limit.toLocaleString("en")} ${unit}`;
    ratio = limit === 0 ? null : value / limit;
    kept = is === "least" ? value >= limit : value <= limit;
  } else if (against) {
    peer = `${against.peer}: ${figure(against.value)} ${unit}`;
    ratio = value / against.value;
  }
  rows.push({ case: name, metric, value, unit, peer, ratio });
  if (!kept) broken++;
  console.log(
    `${name.padEnd(48)} ${metric.padEnd(23)} ${figure(value).padStart(11)} ${
      unit.padEnd(4)
    } ${peer}${kept ? "" : "  NOT KEPT"}`,
  );
}

function figure(value: number): string {
  if (Number.isInteger(value) || value >= 100) return Math.round(value).toLocaleString("en");
  return value.toFixed(1);
}

/** By the nearest rank. */
function quantile(values: number[], q: number): number {
  return values.toSorted((a, b) => a - b)[Math.ceil(values.length * q) - 1]!;
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Calls `work` with a lab of one node, and takes everything away afterwards. */
async function withNode(
  agentArgs: readonly string[],
  work: (node: LabNode) => Promise<void>,
): Promise<void> {
  const directory = `${Deno.makeTempDirSync()}/lab`;
  try {
    await using lab = await Lab.create({
      directory,
      nodes: ["bench"],
      program: [PILUS],
      // as often as on a node: a lab does it more often
      agentArgs: ["--repair-interval", "30", ...agentArgs],
    });
    await work(lab.nodes[0]!);
  } finally {
    Deno.removeSync(directory.slice(0, -"/lab".length), { recursive: true });
  }
}

/** MB that the agent has in memory when it has come to rest. */
async function residentMB(node: LabNode): Promise<number> {
  await delay(QUIET_MS);
  const status = Deno.readTextFileSync(`/proc/${node.agentPid}/status`);
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)![1]) * 1024 / 1e6;
}

/** Resolves when the kernel has so many rows of each of these reconcilers, and nothing is left to do. */
async function synced(node: LabNode, wanted: Record<string, number>): Promise<void> {
  for (;;) {
    const { reconcilers } = await node.status();
    const done = reconcilers.every(({ name, rows, pending }) =>
      pending === 0 && rows >= (wanted[name] ?? 0)
    );
    if (done) return;
    await delay(200);
  }
}

const manifests = (documents: unknown[]) =>
  documents.map((document) => JSON.stringify(document)).join("\n---\n");

const octets = (first: string, n: number) => `${first}.${n >> 8 & 255}.${n & 255}`;

/** In one file: all of them would be more than a file may have. */
const SERVICES_A_FILE = 500;

function services(first: number): string {
  return manifests(
    Array.from({ length: SERVICES_A_FILE }, (_, k) => first + k).map((i) => [
      {
        apiVersion: "v1",
        kind: "Service",
        metadata: { name: `s${i}`, namespace: "bench" },
        spec: { clusterIP: octets("10.96", i), ports: [{ port: 80, targetPort: 8080 }] },
      },
      {
        apiVersion: "discovery.k8s.io/v1",
        kind: "EndpointSlice",
        metadata: {
          name: `s${i}-0`,
          namespace: "bench",
          labels: { "kubernetes.io/service-name": `s${i}` },
        },
        addressType: "IPv4",
        ports: [{ name: "", port: 8080, protocol: "TCP" }],
        endpoints: Array.from({ length: BACKENDS }, (_, k) => {
          const n = i * BACKENDS + k;
          return {
            addresses: [octets(`10.${128 + (n >> 16)}`, n)],
            conditions: { ready: true, serving: true, terminating: false },
            nodeName: `node-${n % 100}`,
            targetRef: { kind: "Pod", namespace: "bench", name: `s${i}-${k}` },
          };
        }),
      },
    ]).flat(),
  );
}

/** Nodes that have published endpoints. */
const REMOTE_NODES = 100;

function remoteNodes(): string {
  return manifests(Array.from({ length: REMOTE_NODES }, (_, k) => ({
    apiVersion: "v1",
    kind: "Node",
    metadata: { name: `remote-${k}` },
    spec: { podCIDR: `10.${200 + (k >> 6)}.${(k & 63) << 2}.0/22` },
    status: { addresses: [{ type: "InternalIP", address: octets("192.168", 1000 + k) }] },
  })));
}

/** As the other nodes do, a file each. */
function publishRemote(node: LabNode): void {
  node.lab.apply("remote-nodes", remoteNodes());
  for (let n = 0; n < REMOTE; n++) {
    const k = n % REMOTE_NODES, i = Math.floor(n / REMOTE_NODES) + 2;
    const folder = `${node.lab.manifests}/.pilus/endpoints/remote-${k}`;
    if (n === k) Deno.mkdirSync(folder, { recursive: true });
    const endpoint = {
      apiVersion: "cilium.io/v2",
      kind: "CiliumEndpoint",
      metadata: { name: `pod-${n}`, namespace: "bench", labels: { app: `app-${n % 200}` } },
      status: {
        id: n % 65536,
        identity: {
          id: 1000 + n % 200,
          labels: [
            `k8s:app=app-${n % 200}`,
            "k8s:io.cilium.k8s.policy.cluster=default",
            "k8s:io.cilium.k8s.policy.serviceaccount=default",
            "k8s:io.kubernetes.pod.namespace=bench",
          ],
        },
        networking: {
          addressing: [{ ipv4: `10.${200 + (k >> 6)}.${(k & 63) << 2 | i >> 8}.${i & 255}` }],
          node: octets("192.168", 1000 + k),
        },
        state: "ready",
      },
    };
    Deno.writeTextFileSync(`${folder}/bench_pod-${n}.json`, JSON.stringify(endpoint));
  }
}

async function timed(work: () => unknown): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/** From the start of the plugin to its end, as a runtime sees it, beside Debian's plugins. */
async function cni(): Promise<void> {
  await withNode([], async (node) => {
    node.startAgent();
    await node.ready();
    const { directory } = node.lab;
    const run = async (program: string, command: string, id: string, config: unknown) => {
      const { code, stdout, stderr } = await node.exec([program], {
        input: JSON.stringify(config),
        env: {
          CNI_COMMAND: command,
          CNI_CONTAINERID: id,
          CNI_NETNS: `${directory}/${id}`,
          CNI_IFNAME: "eth0",
          CNI_PATH: PLUGINS,
        },
      });
      if (code !== 0) throw new Error(`${program} ${command}: ${stdout}${stderr}`);
    };
    const peer = (type: string, subnet: string, more: Record<string, unknown> = {}) => ({
      name: `${type} + host-local`,
      program: `${PLUGINS}/${type}`,
      config: {
        cniVersion: "1.0.0",
        name: `bench-${type}`,
        type,
        ipam: { type: "host-local", subnet, dataDir: `${directory}/host-local` },
        ...more,
      },
    });
    const plugins = [
      { name: "pilus", program: PILUS, config: node.cniConfig() },
      peer("bridge", "10.98.0.0/16", { bridge: "bench0" }),
      peer("ptp", "10.99.0.0/16"),
    ].filter(({ program }) => exists(program));
    const times = plugins.map((plugin) => ({
      ...plugin,
      add: [] as number[],
      del: [] as number[],
    }));
    const process: number[] = [], program: number[] = [];
    for (let round = 0; round < ADDS; round++) {
      process.push(await timed(() => node.exec(["/bin/true"])));
      program.push(await timed(() => run(PILUS, "VERSION", "none", node.cniConfig())));
      for (const [i, { program, config, add, del }] of times.entries()) {
        const id = `pod-${i}-${round}`;
        createNamespace(`${directory}/${id}`);
        add.push(await timed(() => run(program, "ADD", id, config)));
        // pilus keeps its pods: the last one is as fast as the first
        if (program !== PILUS) del.push(await timed(() => run(program, "DEL", id, config)));
      }
    }
    for (let round = 0; round < ADDS; round++) {
      const { program, config, del } = times[0]!;
      del.push(await timed(() => run(program, "DEL", `pod-0-${round}`, config)));
    }
    for (const [i] of times.entries()) {
      for (let round = 0; round < ADDS; round++) deleteNamespace(`${directory}/pod-${i}-${round}`);
    }
    const start = quantile(process, 0.5);
    report("CNI VERSION, the program's start", "median", quantile(program, 0.5) - start, "ms");
    const [own, ...peers] = times;
    for (const [verb, of] of [["ADD", "add"], ["DEL", "del"]] as const) {
      for (const [metric, q] of [["median", 0.5], ["p99", 0.99]] as const) {
        const value = quantile(own![of], q) - start;
        if (peers.length === 0) report(`CNI ${verb}`, metric, value, "ms");
        for (const { name, [of]: theirs } of peers) {
          const against = { peer: name, value: quantile(theirs, q) - start };
          report(`CNI ${verb}`, metric, value, "ms", against);
        }
      }
    }
  });
}

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

async function memory(): Promise<void> {
  await withNode([], async (node) => {
    node.startAgent();
    await node.ready();
    report("no pods", "RSS", await residentMB(node), "MB", { limit: 120 });
    for (let i = 0; i < SERVICES; i += SERVICES_A_FILE) {
      node.lab.apply(`services-${i}`, services(i));
    }
    await synced(node, { services: SERVICES });
    const many = `${SERVICES.toLocaleString("en")} services x ${BACKENDS}`;
    report(many, "RSS", await residentMB(node), "MB", { limit: 200 });
    publishRemote(node);
    await synced(node, { ipcache: SERVICES + REMOTE });
    const all = `${many} + ${REMOTE.toLocaleString("en")} addresses`;
    report(all, "RSS", await residentMB(node), "MB", { limit: 200 });
    await node.stopAgent();
    const restart = await timed(async () => {
      node.startAgent();
      while (!(await node.status().then(() => true, () => false))) await delay(50);
    });
    report(`${all}, restarted`, "start to ready", restart, "ms");
    await synced(node, { ipcache: SERVICES + REMOTE });
    report(`${all}, restarted`, "RSS", await residentMB(node), "MB", { limit: 200 });
  });
}
const APPS = 10;

function pods(): string {
  return manifests(Array.from({ length: PODS }, (_, n) => ({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: `pod-${n}`, namespace: "bench", labels: { app: `app-${n % APPS}` } },
    spec: { nodeName: "bench", containers: [{ name: "main", image: "main" }] },
  })));
}

/** Every pod lets one app in by one port. */
function policy(round: number): string {
  return manifests(Array.from({ length: APPS }, (_, n) => ({
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: { name: `app-${n}`, namespace: "bench" },
    spec: {
      podSelector: { matchLabels: { app: `app-${n}` } },
      ingress: [{
        from: [{ podSelector: { matchLabels: { app: `app-${(n + 1) % APPS}` } } }],
        ports: [{ port: 1000 + round }],
      }],
    },
  })));
}

/** A node full of pods: start to ready, memory, and how soon a policy counts. */
async function fullNode(): Promise<void> {
  await withNode([], async (node) => {
    node.lab.apply("pods", pods());
    node.startAgent();
    await node.ready();
    for (let n = 0; n < PODS; n++) await node.addPod("bench", `pod-${n}`);
    const name = `${PODS} pods`;
    report(name, "RSS", await residentMB(node), "MB", { limit: 120 });

    using endpoints = TypedMap.openPinned(
      `${node.directory}/bpf/pilus/maps/pilus_endpoints`,
      maps.pilus_endpoints,
    );
    const slots = [...endpoints.entries()].filter(([, { ifindex }]) => ifindex).map(([key]) => key);
    if (slots.length !== PODS) throw new Error(`The kernel has ${slots.length} endpoints`);
    const judgedBy = (slot: number) => endpoints.get(slot)!.policy;
    const delays: number[] = [];
    for (let round = 0; round < POLICY_ROUNDS; round++) {
      await delay(200 + 50 * Math.random());
      const before = new Map(slots.map((slot) => [slot, judgedBy(slot)]));
      node.lab.apply("policy", policy(round));
      const start = performance.now();
      while (slots.some((slot) => judgedBy(slot) === before.get(slot))) {
        if (performance.now() - start > 10_000) throw new Error("A policy is not enforced");
        await delay(1);
      }
      delays.push(performance.now() - start);
    }
    const change = `policies of ${PODS} endpoints, file to kernel`;
    report(change, "median", quantile(delays, 0.5), "ms");
    report(change, "p99", quantile(delays, 0.99), "ms", { limit: 100 });

    const starts: number[] = [];
    for (let round = 0; round < STARTS; round++) {
      await node.stopAgent();
      starts.push(
        await timed(() => {
          node.startAgent();
          return node.ready();
        }),
      );
      const { endpoints: { ready } } = await node.status();
      if (ready !== PODS) throw new Error(`${ready} endpoints are ready`);
    }
    report(`start to ready with ${PODS} endpoints`, "median", quantile(starts, 0.5), "ms", {
      limit: 1000,
    });
    report(`start to ready with ${PODS} endpoints`, "most", Math.max(...starts), "ms");
    report(`${name}, restarted`, "RSS", await residentMB(node), "MB", { limit: 120 });
  });
}

/** Seconds that the processor has spent on a process. */
function cpuSeconds(pid: number): number {
  const fields = Deno.readTextFileSync(`/proc/${pid}/stat`).split(") ")[1]!.split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Every flow in JSON has this once. */
const MARK = '"verdict":';

/** Gets all that `pilus monitor` gets, and only counts it. */
class Monitor implements Disposable {
  flows = 0;
  readonly #connection: Deno.UnixConn;
  #open = true;

  private constructor(connection: Deno.UnixConn) {
    this.#connection = connection;
    void this.#read();
  }

  static async open(socket: string): Promise<Monitor> {
    const connection = await Deno.connect({ transport: "unix", path: socket });
    // of this version answers have no chunks, whose borders could be within a mark
    const request = "GET /v1/monitor HTTP/1.0\r\nhost: pilus\r\n\r\n";
    await connection.write(new TextEncoder().encode(request));
    return new Monitor(connection);
  }

  async #read(): Promise<void> {
    const bytes = new Uint8Array(1 << 18);
    const decoder = new TextDecoder("latin1");
    for (let text = ""; this.#open;) {
      const length = await this.#connection.read(bytes).catch(() => null);
      if (length === null) return;
      text = text.slice(1 - MARK.length) + decoder.decode(bytes.subarray(0, length));
      for (let at = text.indexOf(MARK); at >= 0; at = text.indexOf(MARK, at + 1)) this.flows++;
    }
  }

  [Symbol.dispose](): void {
    this.#open = false;
    this.#connection.close();
  }
}

/** Events sent in one go at a rate, after this process had to wait for its turn. */
const SEND_MOST = 5000;

/** Sends `rate` events a second, or `burst` at once ten times a second; returns how many. */
async function send(source: EventSource, rate: number, burst = 0): Promise<number> {
  const start = performance.now();
  for (let sent = 0;;) {
    const elapsed = Math.min(performance.now() - start, EVENT_SECONDS * 1000);
    const due = burst > 0 ? burst : Math.min(Math.floor(rate * elapsed / 1000) - sent, SEND_MOST);
    if (due > 0) source.send(due, EventType.VERDICT);
    sent += due;
    if (elapsed === EVENT_SECONDS * 1000) return sent;
    await delay(burst > 0 ? 100 : 1);
  }
}

/** Events from the buffer: only counted, as flows for one who listens, and more than have room. */
async function events(): Promise<void> {
  await withNode(["--map-size", "pilus_events=8388608"], async (node) => {
    node.startAgent();
    await node.ready();
    await node.client.call("/v1/trace-level", { method: "POST", body: { level: "none" } });
    using source = new EventSource(`${node.directory}/bpf/pilus/maps`);
    const lostInKernel = () =>
      [...source.lost.entries()].flatMap(([, cpus]) => cpus)
        .reduce((sum, lost) => sum + Number(lost), 0);

    /** Sends events and says what became of them. `limit`: of those that arrive, a second. */
    const measure = async (name: string, limit?: number, monitor?: Monitor) => {
      const rate = (limit ?? 0) * 1.1;
      const before = {
        seen: (await node.status()).events.seen,
        lost: lostInKernel(),
        flows: monitor?.flows ?? 0,
        cpu: cpuSeconds(node.agentPid!),
      };
      const start = performance.now();
      const sent = await send(source, rate, limit === undefined ? 200_000 : 0);
      const arrived = () => monitor ? monitor.flows - before.flows : 0;
      while (monitor && arrived() < sent && performance.now() - start < 1200 * EVENT_SECONDS) {
        await delay(5);
      }
      const seconds = (performance.now() - start) / 1000;
      await delay(200);
      const cpu = cpuSeconds(node.agentPid!) - before.cpu;
      const seen = (await node.status()).events.seen - before.seen;
      const lost = lostInKernel() - before.lost;
      if (limit !== undefined) {
        const value = (monitor ? arrived() : seen) / seconds;
        report(name, "rate", value, "/s", { limit, is: "least" });
        report(name, "CPU", 100 * cpu / seconds, "%");
      }
      report(name, "lost", 100 * lost / sent, "%");
      report(name, "neither seen nor lost", Math.abs(sent - seen - lost), "", { limit: 0 });
      if (monitor) {
        const rows = await node.client.call<MetricRow[]>("/v1/metrics");
        const missed = rows.filter((row) => row.name.endsWith("events_missed_total"))
          .reduce((sum, { value }) => sum + value, 0);
        report(name, "missed", 100 * missed / sent, "%");
        report(name, "neither told nor missed", Math.abs(seen - arrived() - missed), "", {
          limit: 0,
        });
      }
    };
    await measure("events, counted", DRAINED_PER_SECOND);
    {
      using monitor = await Monitor.open(node.socket);
      await delay(500);
      await measure("events, as flows to a monitor", DECODED_PER_SECOND, monitor);
    }
    await measure("events, bursts of 200,000");
  });
}

const PARTS: Record<string, () => Promise<void>> = { cni, memory, pods: fullNode, events };

const chosen = Deno.args.length > 0 ? Deno.args : Object.keys(PARTS);
const unknown = chosen.filter((part) => !(part in PARTS));
if (unknown.length > 0) {
  console.error(`There is no part ${unknown[0]}; there are ${Object.keys(PARTS).join(", ")}`);
  Deno.exit(2);
}
for (const part of chosen) await PARTS[part]!();
Deno.mkdirSync(`${ROOT}dist/bench`, { recursive: true });
Deno.writeTextFileSync(`${ROOT}dist/bench/agent.json`, JSON.stringify(rows, null, 2) + "\n");
if (broken > 0) Deno.exit(1);
