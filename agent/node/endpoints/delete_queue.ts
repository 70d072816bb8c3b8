/** The deletions that the CNI plugin left while the agent was down. */

import {
  deleteQueueDirectory,
  type QueuedDelete,
  queuedDeleteName,
} from "../../api/queued_delete.ts";
import { fileInfo, namesIn, removeIfThere } from "../../core/missing_files.ts";

/** What draining did. */
export interface DrainReport {
  deleted: string[];
  /** Files that could not be read or done, with the reason; they stay, but unreadable ones are removed. */
  failed: { file: string; reason: string }[];
}

/** Takes back one endpoint. */
export type DeleteEndpoint = (containerId: string, ifname: string) => Promise<unknown>;

/** Does every queued deletion and removes its file. To be called at start and on a timer. */
export async function drainDeleteQueue(
  stateDir: string,
  deleteEndpoint: DeleteEndpoint,
): Promise<DrainReport> {
  const directory = deleteQueueDirectory(stateDir);
  const report: DrainReport = { deleted: [], failed: [] };
  const files = namesIn(directory).filter((name) => name.endsWith(".json"));
  // together: their devices go in one call
  await Promise.all(files.map(async (file) => {
    const path = `${directory}/${file}`;
    let row: QueuedDelete;
    try {
      row = parse(Deno.readTextFileSync(path));
    } catch (error) {
      report.failed.push({ file, reason: (error as Error).message });
      removeIfThere(path, { recursive: true });
      return;
    }
    try {
      await deleteEndpoint(row.containerId, row.ifname);
      removeIfThere(path);
      report.deleted.push(`${row.containerId}/${row.ifname}`);
    } catch (error) {
      report.failed.push({ file, reason: (error as Error).message });
    }
  }));
  return report;
}

function parse(text: string): QueuedDelete {
  const { containerId, ifname } = JSON.parse(text) as Partial<QueuedDelete>;
  if (typeof containerId !== "string" || typeof ifname !== "string") {
    throw new TypeError("A queued deletion has containerId and ifname");
  }
  return { containerId, ifname };
}

/**
 * Does the deletion that is queued for an endpoint, if there is one: to be called before the endpoint is
 * made, so that what is queued is never about one that is newer. No clock has to be right for that.
 */
export async function doQueuedDelete(
  stateDir: string,
  endpoint: QueuedDelete,
  deleteEndpoint: DeleteEndpoint,
): Promise<void> {
  const path = `${deleteQueueDirectory(stateDir)}/${queuedDeleteName(endpoint)}`;
  if (!fileInfo(path)) return;
  await deleteEndpoint(endpoint.containerId, endpoint.ifname);
  removeIfThere(path);
}
