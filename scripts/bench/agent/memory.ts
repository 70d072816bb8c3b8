/** Memory at rest, with nothing and with a large cluster, and how soon the agent is ready again with that. */

import type { LabNode } from "../../../cli/lab/lab.ts";
import {
  BACKENDS,
  publishRemote,
  REMOTE,
  SERVICES,
  services,
  SERVICES_A_FILE,
} from "./manifests.ts";
import { answering, cpuSeconds, residentMB, synced, withNode } from "./node.ts";
import { progress, quantile, report, timed } from "./report.ts";

const RESTARTS = 5;

const MANY = `${SERVICES.toLocaleString("en")} services x ${BACKENDS}`;
const ALL = `${MANY} + ${REMOTE.toLocaleString("en")} addresses`;

function applyServices(node: LabNode): void {
  for (let i = 0; i < SERVICES; i += SERVICES_A_FILE) {
    node.lab.apply(`services-${i}`, services(i));
  }
}

/** MB at rest. */
export async function memory(): Promise<void> {
  await withNode([], async (node) => {
    node.startAgent();
    await answering(node);
    report("no pods", "RSS", await residentMB(node), "MB", { limit: 120 });
    progress(`applying ${MANY}`);
    applyServices(node);
    await synced(node, { services: SERVICES });
    report(MANY, "RSS", await residentMB(node), "MB", { limit: 200 });
    progress(`publishing ${REMOTE} addresses`);
    publishRemote(node);
    await synced(node, { ipcache: SERVICES + REMOTE });
    report(ALL, "RSS", await residentMB(node), "MB", { limit: 200 });
    await node.stopAgent();
    node.startAgent();
    await answering(node);
    await synced(node, { ipcache: SERVICES + REMOTE });
    report(`${ALL}, restarted`, "RSS", await residentMB(node), "MB", { limit: 200 });
  });
}

/** From a start to an answer, which comes when all is in the kernel. */
export async function restart(): Promise<void> {
  await withNode([], async (node) => {
    progress(`applying ${ALL}`);
    applyServices(node);
    publishRemote(node);
    node.startAgent();
    await answering(node);
    const times: number[] = [], cpu: number[] = [];
    for (let round = 0; round < RESTARTS; round++) {
      await synced(node, { ipcache: SERVICES + REMOTE });
      await node.stopAgent();
      times.push(
        await timed(() => {
          node.startAgent();
          return answering(node);
        }),
      );
      cpu.push(1000 * cpuSeconds(node.agentPid!));
      progress(`restart ${round + 1} of ${RESTARTS}: ${Math.round(times.at(-1)!)} ms`);
    }
    report(`${ALL}, restarted`, "start to ready, median", quantile(times, 0.5), "ms");
    report(`${ALL}, restarted`, "start to ready, least", Math.min(...times), "ms", { limit: 3000 });
    report(`${ALL}, restarted`, "CPU till ready, median", quantile(cpu, 0.5), "ms");
  });
}
