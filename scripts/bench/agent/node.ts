/** A lab of one node that the compiled program is measured on. */

import { Lab, type LabNode } from "../../../cli/lab/lab.ts";
import { delay, progress } from "./report.ts";

export const ROOT = new URL("../../../", import.meta.url).pathname;
export const PILUS = `${ROOT}dist/pilus`;

/** Memory is read when the agent has had nothing to do for so long. */
const QUIET_MS = 40_000;

/** Milliseconds that the agent may take for anything. */
const DEADLINE_MS = 120_000;

/** Milliseconds between reports of what is being waited for. */
const PROGRESS_MS = 5_000;

/** Calls `work` with a lab of one node, and takes everything away afterwards. */
export async function withNode(
  agentArgs: readonly string[],
  work: (node: LabNode) => Promise<void>,
): Promise<void> {
  const directory = `${Deno.makeTempDirSync()}/bench`;
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
    Deno.removeSync(directory.slice(0, -"/bench".length), { recursive: true });
  }
}

/** MB that the agent has in memory when it has come to rest. */
export async function residentMB(node: LabNode): Promise<number> {
  progress(`waiting ${QUIET_MS / 1000} s for the agent's memory`);
  await delay(QUIET_MS);
  const status = Deno.readTextFileSync(`/proc/${node.agentPid}/status`);
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)![1]) * 1024 / 1e6;
}

/** Seconds that the processor has spent on a process. */
export function cpuSeconds(pid: number): number {
  const fields = Deno.readTextFileSync(`/proc/${pid}/stat`).split(") ")[1]!.split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Resolves when the kernel has so many rows of each of these reconcilers, and nothing is left to do. */
export async function synced(node: LabNode, wanted: Record<string, number>): Promise<void> {
  const waitsFor = async () => {
    const { reconcilers } = await node.status();
    const behind = reconcilers.filter(({ name, rows, pending }) =>
      pending > 0 || rows < (wanted[name] ?? 0)
    );
    return behind.map(({ name, rows, pending }) => `${name} (${rows} rows, ${pending} pending)`);
  };
  await until(node, async () => (await waitsFor()).join(", "), 200);
}

/** Resolves when the agent answers, which it does when it is ready. */
export async function answering(node: LabNode): Promise<void> {
  await until(node, () => node.status().then(() => "", () => "an answer"), 20);
}

/** Asks until nothing is left to wait for. Throws Error with the agent's log after a while. */
async function until(
  node: LabNode,
  waitsFor: () => Promise<string>,
  intervalMs: number,
): Promise<void> {
  const start = performance.now();
  for (let told = start;;) {
    const what = await waitsFor();
    if (what === "") return;
    const now = performance.now();
    if (now - start > DEADLINE_MS) {
      const log = node.logText().slice(-3000);
      throw new Error(`After ${DEADLINE_MS / 1000} s the agent still waits for ${what}\n${log}`);
    }
    if (now - told > PROGRESS_MS) {
      progress(`waiting for ${what}`);
      told = now;
    }
    await delay(intervalMs);
  }
}
