/** The operator: what is done once in a cluster, by whichever of its processes is elected. */

import type { Log } from "../core/log.ts";
import { pause } from "../core/pause.ts";
import type { ApiClient } from "../kubernetes/client/api_client.ts";
import { LeaderElection } from "../kubernetes/leader_election.ts";
import { IdentityCollector } from "./identity_collector.ts";

/** What {@linkcode runOperator} takes. */
export interface OperatorOptions {
  client: ApiClient;
  /** Of this process; no two have the same. */
  holder: string;
  /** Of the Lease. */
  namespace: string;
  log: Log;
  signal: AbortSignal;
  /** Milliseconds that an identity has to be unused before it is deleted. */
  unusedMs: number;
  /** Milliseconds between looks. @default {60_000} */
  intervalMs?: number;
  /** See {@linkcode LeaderElection}. */
  durationMs?: number;
}

/** The name of the Lease. */
export const LEASE = "pilus-operator";

/** Runs until the signal is aborted. */
export async function runOperator(
  { client, holder, namespace, log, signal, unusedMs, intervalMs = 60_000, durationMs }:
    OperatorOptions,
): Promise<void> {
  const onError = (error: unknown) =>
    log.warn("operator", { reason: error instanceof Error ? error.message : String(error) });
  const election = new LeaderElection({
    ...{ client, namespace, name: LEASE, holder, signal, onError },
    ...(durationMs === undefined ? {} : { durationMs }),
  });
  await election.run(async (elected) => {
    log.info("elected", { lease: `${namespace}/${LEASE}`, holder });
    const collector = new IdentityCollector({ client, unusedMs });
    do {
      try {
        const deleted = await collector.pass(elected);
        if (deleted.length > 0) log.info("identities deleted", { numbers: deleted.join(",") });
      } catch (error) {
        if (!elected.aborted) onError(error);
      }
    } while (await pause(intervalMs, elected));
    if (!signal.aborted) log.warn("not elected any more", { holder });
  });
}
