/** How the CNI plugin leaves a deletion for an agent that is down. */

/** The content, as JSON, of a file in the queue. */
export interface QueuedDelete {
  containerId: string;
  ifname: string;
}

/** Its file. Throws TypeError for names that are none of a runtime's. */
export function queuedDeleteName({ containerId, ifname }: QueuedDelete): string {
  // "@" is in no container id
  const name = `${containerId}@${ifname}.json`;
  if (name.includes("/") || name.includes("\0")) throw new TypeError("A name has no slash");
  return name;
}

/** The folder of queued deletions in a state directory. */
export function deleteQueueDirectory(stateDir: string): string {
  return `${stateDir}/delete-queue`;
}
