/**
 * Notices connections that are dead without an end: a server that lost its power, a firewall that forgot
 * them. When nothing was heard of the server for a while it is asked for its version, and when that gets
 * no answer, all that waits on these connections ends.
 */

import { pause } from "../../core/pause.ts";
import type { ApiClient } from "./api_client.ts";

/** Options for {@linkcode keepAlive}. */
export interface HeartbeatOptions {
  /**
   * Milliseconds of silence before the question.
   *
   * @default {30_000}
   */
  quietMs?: number;
  /**
   * Milliseconds for the answer.
   *
   * @default {15_000}
   */
  patienceMs?: number;
}

/** Asks until the signal is aborted. */
export async function keepAlive(
  client: ApiClient,
  signal: AbortSignal,
  { quietMs = 30_000, patienceMs = 15_000 }: HeartbeatOptions = {},
): Promise<void> {
  const request = { verb: "get", group: "", resource: "version", path: "/version" } as const;
  const left = () => client.heardAt + quietMs - performance.now();
  while (await pause(Math.max(quietMs / 10, left()), signal)) {
    if (left() > 1) continue;
    // when there is no answer the client ends what waits for one
    await client.json({ ...request, signal, patienceMs: () => patienceMs }).catch(() => {});
  }
}
