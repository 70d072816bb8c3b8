/** How the CNI plugin leaves a deletion for an agent that is down. */

/** The content, as JSON, of a file in the queue. */
export interface QueuedDelete {
  containerId: string;
  ifname: string;
  /** ISO 8601; endpoints made later are not meant. */
  at: string;
}

/** The folder of queued deletions in a state directory. */
export function deleteQueueDirectory(stateDir: string): string {
  return `${stateDir}/delete-queue`;
}
