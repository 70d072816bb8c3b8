/** A node full of pods. */

import { TypedMap } from "../../../datapath/bpf/mod.ts";
import { maps } from "../../../datapath/maps/generated.ts";
import { manifests } from "./manifests.ts";
import { residentMB, withNode } from "./node.ts";
import { delay, quantile, report, timed } from "./report.ts";

const PODS = 100;
const STARTS = 9;
const POLICY_ROUNDS = 100;
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
export async function fullNode(): Promise<void> {
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
