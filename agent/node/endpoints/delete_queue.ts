/** The deletions that the CNI plugin left while the agent was down. */

import {
  deleteQueueDirectory,
  type QueuedDelete,
  queuedDeleteName,
} from "../../api/queued_delete.ts";
import { fileInfo, namesIn, removeIfThere } from "../../core/missing_files.ts";

const DRAFT_MS = 3_600_000;

/** What draining did. */
export interface DrainReport {
  deleted: string[];
  /** Files that could not be read or done, with the reason; they stay, but what is no deletion is removed. */
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
  const names = namesIn(directory);
  names.filter((name) => name.startsWith(".")).forEach((name) =>
    removeIfOld(`${directory}/${name}`)
  );
  const files = names.filter((name) => !name.startsWith(".") && name.endsWith(".json"));
  // together: their devices go in one call
  await Promise.all(files.map(async (file) => {
    const path = `${directory}/${file}`;
    try {
      const row = parse(Deno.readTextFileSync(path));
      await deleteEndpoint(row.containerId, row.ifname);
      removeIfThere(path);
      report.deleted.push(`${row.containerId}/${row.ifname}`);
    } catch (error) {
      report.failed.push({ file, reason: (error as Error).message });
      if (isNoDeletion(error)) removeIfThere(path, { recursive: true });
    }
  }));
  return report;
}

/** Removes the draft of a plugin that was killed: none lives as long. */
function removeIfOld(draft: string): void {
  const written = fileInfo(draft)?.mtime?.getTime() ?? Infinity;
  if (Date.now() - written > DRAFT_MS) removeIfThere(draft);
}

/** A file that cannot be read just now, as descriptors or the disk fail, is a deletion still. */
function isNoDeletion(error: unknown): boolean {
  return error instanceof NotQueued || error instanceof Deno.errors.IsADirectory;
}

/** A file of the queue with something else in it. */
class NotQueued extends Error {}

function contentsOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function parse(text: string): QueuedDelete {
  const { containerId, ifname } = Object(contentsOf(text)) as Partial<QueuedDelete>;
  if (typeof containerId !== "string" || typeof ifname !== "string") {
    throw new NotQueued("A queued deletion is JSON with containerId and ifname");
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
