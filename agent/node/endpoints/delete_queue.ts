/** The deletions that the CNI plugin left while the agent was down. */

import { deleteQueueDirectory, type QueuedDelete } from "../../api/queued_delete.ts";

/** What draining did. */
export interface DrainReport {
  deleted: string[];
  /** Files that could not be read or done, with the reason; they stay, but unreadable ones are removed. */
  failed: { file: string; reason: string }[];
}

/** Takes back one endpoint, unless it was made after `before`. */
export type DeleteEndpoint = (
  containerId: string,
  ifname: string,
  options: { before: Date },
) => Promise<unknown>;

/** Does every queued deletion and removes its file. To be called at start and on a timer. */
export async function drainDeleteQueue(
  stateDir: string,
  deleteEndpoint: DeleteEndpoint,
): Promise<DrainReport> {
  const directory = deleteQueueDirectory(stateDir);
  const report: DrainReport = { deleted: [], failed: [] };
  let names: string[];
  try {
    names = [...Deno.readDirSync(directory)].map((entry) => entry.name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return report;
    throw error;
  }
  for (const file of names.filter((name) => name.endsWith(".json")).sort()) {
    const path = `${directory}/${file}`;
    let row: QueuedDelete;
    try {
      row = parse(Deno.readTextFileSync(path));
    } catch (error) {
      report.failed.push({ file, reason: (error as Error).message });
      Deno.removeSync(path);
      continue;
    }
    try {
      await deleteEndpoint(row.containerId, row.ifname, { before: new Date(row.at) });
      Deno.removeSync(path);
      report.deleted.push(`${row.containerId}/${row.ifname}`);
    } catch (error) {
      report.failed.push({ file, reason: (error as Error).message });
    }
  }
  return report;
}

function parse(text: string): QueuedDelete {
  const { containerId, ifname, at } = JSON.parse(text) as Partial<QueuedDelete>;
  if (typeof containerId !== "string" || typeof ifname !== "string" || typeof at !== "string") {
    throw new TypeError("A queued deletion has containerId, ifname and at");
  }
  if (Number.isNaN(Date.parse(at))) throw new TypeError(`Not a time: ${JSON.stringify(at)}`);
  return { containerId, ifname, at };
}
