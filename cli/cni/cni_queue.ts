/** Deletions that come while the agent is down: a file each, which the agent takes up when it is back. */

import {
  deleteQueueDirectory,
  type QueuedDelete,
  queuedDeleteName,
} from "../../agent/api/types.ts";
import { fileInfo } from "../../agent/core/missing_files.ts";
import { writeWhole } from "../../agent/core/whole_file.ts";
import type { CniAttachment } from "../../agent/api/cni.ts";

/** Leaves a deletion for the agent. The file is whole or not there. Throws what the file system says. */
export function queueDelete(stateDir: string, { containerId, ifname }: CniAttachment): void {
  const directory = deleteQueueDirectory(stateDir);
  Deno.mkdirSync(directory, { recursive: true, mode: 0o700 });
  if (fileInfo(directory)?.isSymlink) throw new Error(`${directory} is a link`);
  const row: QueuedDelete = { containerId, ifname };
  writeWhole(`${directory}/${queuedDeleteName(row)}`, JSON.stringify(row), { mode: 0o600 });
}
