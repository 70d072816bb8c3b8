/** How long others wait while the agent takes in large and hostile files. */

import { TypedMap } from "../../../datapath/bpf/mod.ts";
import { maps } from "../../../datapath/maps/generated.ts";
import type { LabNode } from "../../../cli/lab/lab.ts";
import { manifests } from "./manifests.ts";
import { withNode } from "./node.ts";
import { delay, progress, quantile, report, timed } from "./report.ts";

/** Milliseconds that an answer, an ADD and a policy may take. */
const LIMIT_MS = 100;

/** Milliseconds that a file is watched for: from its writing, and from its removal. */
const WATCHED_MS = 8_000;

/** More pods than are added. */
const ADDED = 500;

function pod(name: string, app: string, nodeName: string) {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "bench", labels: { app } },
    spec: { nodeName, containers: [{ name: "main", image: "main" }] },
  };
}

const FILES: Record<string, () => string> = {
  "30,000 Pods": () =>
    manifests(
      Array.from({ length: 30_000 }, (_, n) => pod(`many-${n}`, `app-${n % 500}`, "other")),
    ),
  "a Service of 60,000 ports": () =>
    manifests([{
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "ports", namespace: "bench" },
      spec: {
        clusterIP: "10.96.0.1",
        ports: Array.from({ length: 60_000 }, (_, n) => ({ name: `p${n}`, port: n + 1 })),
      },
    }]),
  "a YAML list of 10 MB": () => "a:\n" + "- b\n".repeat(2_500_000),
};

function policy(port: number): string {
  return manifests([{
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: { name: "watched", namespace: "bench" },
    spec: { podSelector: { matchLabels: { app: "web" } }, ingress: [{ ports: [{ port }] }] },
  }]);
}

/** The longest of what happened again and again meanwhile. */
interface Waits {
  answers: number[];
  adds: number[];
  policies: number[];
}

/** Answers, ADDs and policies of one node, timed. */
class Watch {
  readonly #node: LabNode;
  readonly #endpoints: TypedMap<number, { policy: number; ifindex: number }>;
  /** Of the pod that the policies are about. */
  readonly #slot: number;
  #count = 0;
  #added = 0;

  constructor(node: LabNode) {
    this.#node = node;
    const path = `${node.directory}/bpf/pilus/maps/pilus_endpoints`;
    this.#endpoints = TypedMap.openPinned(path, maps.pilus_endpoints);
    this.#slot = [...this.#endpoints.used()][0]![0];
  }

  /** @param end when to stop, in the clock of performance.now() */
  async during(end: number): Promise<Waits> {
    const waits: Waits = { answers: [], adds: [], policies: [] };
    const repeat = async (into: number[], work: () => Promise<unknown>, pause: number) => {
      while (performance.now() < end) {
        into.push(await timed(work));
        await delay(pause);
      }
    };
    await Promise.all([
      repeat(waits.answers, () => this.#node.client.call("/v1/trace-level"), 2),
      repeat(waits.policies, () => this.#changePolicy(), 300),
      (async () => {
        while (performance.now() < end) {
          const pod = this.#node.createPod("bench", `added-${this.#added++}`);
          waits.adds.push(await timed(() => pod.add()));
          await pod.delete();
          await delay(300);
        }
      })(),
    ]);
    return waits;
  }

  async #changePolicy(): Promise<void> {
    const judgedBy = () => this.#endpoints.get(this.#slot)!.policy;
    const before = judgedBy();
    this.#node.lab.apply("watched", policy(1000 + this.#count++));
    while (judgedBy() === before) await delay(1);
  }
}

/** Each file comes and goes, and all that is asked meanwhile is answered. */
export async function stops(): Promise<void> {
  await withNode([], async (node) => {
    const names = ["web", ...Array.from({ length: ADDED }, (_, n) => `added-${n}`)];
    node.lab.apply("pods", manifests(names.map((name) => pod(name, name, "bench"))));
    node.lab.apply("watched", policy(1));
    node.startAgent();
    await node.ready();
    await node.addPod("bench", "web");
    await delay(2000);
    const watch = new Watch(node);
    const show = (name: string, { answers, adds, policies }: Waits) => {
      report(name, "longest answer", Math.max(...answers), "ms", { limit: LIMIT_MS });
      report(name, "CNI ADD, median", quantile(adds, 0.5), "ms");
      report(name, "CNI ADD, most", Math.max(...adds), "ms", { limit: LIMIT_MS });
      report(name, "policy, median", quantile(policies, 0.5), "ms");
      report(name, "policy, most", Math.max(...policies), "ms", { limit: LIMIT_MS });
    };
    progress("nothing happens");
    show("meanwhile: nothing", await watch.during(performance.now() + WATCHED_MS));
    for (const [name, text] of Object.entries(FILES)) {
      const content = text();
      progress(`${name}: ${content.length} bytes`);
      node.lab.apply("large", content);
      show(`meanwhile: ${name}`, await watch.during(performance.now() + WATCHED_MS));
      node.lab.remove("large");
      show(`meanwhile: ${name} gone`, await watch.during(performance.now() + WATCHED_MS));
    }
  });
}
