/** `pilus operator` */

import { Log, type LogLevel } from "../agent/core/log.ts";
import { startOperator } from "../agent/operator/start.ts";
import { EXIT, type Invocation } from "./command.ts";

/** Runs until a signal ends it. */
export async function operator({ options }: Invocation): Promise<number> {
  const stop = new AbortController();
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    Deno.addSignalListener(signal, () => stop.abort(new Error(signal)));
  }
  await startOperator({
    kubeconfig: String(options["kubeconfig"] ?? ""),
    servers: (options["api-server"] ?? []) as readonly string[],
    namespace: String(options["namespace"]),
    unusedMinutes: Number(options["identity-unused"]),
    log: new Log(options["log-level"] as LogLevel),
    signal: stop.signal,
  });
  return EXIT.ok;
}
