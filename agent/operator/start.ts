/** Makes of the operator's options what it needs. */

import type { Log } from "../core/log.ts";
import { ApiClient } from "../kubernetes/client/api_client.ts";
import { inClusterReader } from "../kubernetes/client/in_cluster.ts";
import { kubeconfigReader } from "../kubernetes/client/kubeconfig.ts";
import { runOperator } from "./operator.ts";

/** As users give them. */
export interface StartOptions {
  kubeconfig: string;
  servers: readonly string[];
  namespace: string;
  unusedMinutes: number;
  log: Log;
  signal: AbortSignal;
}

/** Runs until the signal is aborted. Throws AccessError when nothing can be made of what is given. */
export async function startOperator(
  { kubeconfig, servers, namespace, unusedMinutes, log, signal }: StartOptions,
): Promise<void> {
  const access = kubeconfig ? kubeconfigReader(kubeconfig, servers) : inClusterReader({ servers });
  access();
  using client = new ApiClient({ access, userAgent: "pilus-operator" });
  const holder = `${Deno.hostname()}_${crypto.randomUUID()}`;
  const unusedMs = unusedMinutes * 60_000;
  await runOperator({ client, holder, namespace, log, signal, unusedMs });
}
