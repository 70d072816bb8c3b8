/**
 * What the agent costs and how fast it is, as the compiled program in a lab: the plugin's ADD, start
 * to ready, memory, a policy's way from the file to the endpoints, and events.
 *
 * Usage: deno run -A scripts/bench/agent.ts [cni|memory|pods|events ...], by default all of them.
 * Writes dist/bench/agent.json; exits 1 when a limit is not kept.
 */

import { Lab, type LabNode } from "../../cli/demo_lab.ts";
import { BpfObject, TypedMap } from "../../datapath/bpf/mod.ts";
import type { Endpoint } from "../../datapath/maps/generated.ts";
import { maps } from "../../datapath/maps/generated.ts";
import { compileBpf } from "../compile_bpf.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const PODS = 100;
const SERVICES = 10_000;
const BACKENDS = 10;
const REMOTE = 50_000;
const STARTS = 9;
const POLICY_ROUNDS = 100;
const EVENT_SECONDS = 5;
/** Memory is read when the agent has had nothing to do for so long. */
const QUIET_MS = 20_000;

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

const rows: Row[] = [];
let broken = 0;

function report(name: string, metric: string, value: number, unit: string, limit?: Limit): void {
  const ratio = limit ? value / limit.limit : null;
  const peer = limit ? `at ${limit.is ?? "most"} ${limit.limit.toLocaleString("en")} ${unit}` : "";
  rows.push({ case: name, metric, value, unit, peer, ratio });
  const kept = ratio === null || (limit?.is === "least" ? ratio >= 1 : ratio <= 1);
  if (!kept) broken++;
  const shown = value < 100 ? value.toFixed(1) : Math.round(value).toLocaleString("en");
  console.log(
    `${name.padEnd(44)} ${metric.padEnd(10)} ${shown.padStart(11)} ${unit.padEnd(4)} ${peer}${
      kept ? "" : "  NOT KEPT"
    }`,
  );
}

function quantile(values: number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))]!;
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
      program: [`${ROOT}dist/pilus`],
      agentArgs,
    });
    await work(lab.nodes[0]!);
  } finally {
    Deno.removeSync(directory.slice(0, -"/lab".length), { recursive: true });
  }
}

/** MiB that the agent has in memory when it has come to rest. */
async function residentMiB(node: LabNode): Promise<number> {
  await delay(QUIET_MS);
  const status = Deno.readTextFileSync(`/proc/${node.agentPid}/status`);
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)![1]) / 1024;
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

function services(): string {
  return manifests(
    Array.from({ length: SERVICES }, (_, i) => [
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

function remoteEndpoints(): string {
  return manifests(Array.from({ length: REMOTE }, (_, n) => ({
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
        addressing: [{ ipv4: octets("10.200", n) }],
        node: octets("192.168", 1000 + n % 100),
      },
      state: "ready",
    },
  })));
}

async function memory(): Promise<void> {
  await withNode([], async (node) => {
    node.startAgent();
    await node.ready();
    report("no pods", "RSS", await residentMiB(node), "MiB", { limit: 120 });
    node.lab.apply("services", services());
    await synced(node, { services: SERVICES });
    const many = `${SERVICES.toLocaleString("en")} services x ${BACKENDS}`;
    report(many, "RSS", await residentMiB(node), "MiB", { limit: 200 });
    node.lab.apply("remote", remoteEndpoints());
    await synced(node, { ipcache: SERVICES + REMOTE });
    const all = `${many} + ${REMOTE.toLocaleString("en")} addresses`;
    report(all, "RSS", await residentMiB(node), "MiB", { limit: 200 });
    await node.stopAgent();
    node.startAgent();
    await synced(node, { ipcache: SERVICES + REMOTE }).catch(() => {});
    report(`${all}, restarted`, "RSS", await residentMiB(node), "MiB", { limit: 200 });
  });
}
await memory();
