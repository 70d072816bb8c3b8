/** The directories in which the agent keeps what it must remember: whether there is room. */

import { statfsRoom } from "../../datapath/bpf/ffi/libc.ts";
import type { AgentConfig } from "./config.ts";
import { gauge } from "./metrics.ts";
import type { Part } from "./part.ts";

/** What the records of a pod and SQLite's log of their change may need, in bytes. */
const NEEDED = 256 * 1024;

/** Says when no pod could be added for want of room. */
export function statePart({ stateDir, runDir }: Pick<AgentConfig, "stateDir" | "runDir">): Part {
  const directories = [stateDir, runDir];
  return {
    name: "state",
    metrics: () =>
      directories.map((directory) =>
        gauge("state_free_bytes", "Room for what the agent remembers", room(directory) ?? 0, {
          directory,
        })
      ),
    health() {
      for (const directory of directories) {
        const free = room(directory);
        if (free === undefined) return `${directory} cannot be written to: pods cannot be added`;
        if (free < NEEDED) return `no space is left in ${directory}: pods cannot be added`;
      }
      return undefined;
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

function room(directory: string): number | undefined {
  try {
    return statfsRoom(directory);
  } catch {
    return undefined;
  }
}
