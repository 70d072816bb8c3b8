/** `pilus agent`: runs the agent until a signal ends it. */

import { Log } from "../agent/core/log.ts";
import { configOf, unknownVariables } from "../agent/node/settings.ts";
import { agentSettings } from "./agent_settings.ts";
import { EXIT, type Invocation } from "./command.ts";

/** The exit code when a signal ended the agent in good order is 0. */
export async function runAgent(invocation: Invocation): Promise<number> {
  const settings = await agentSettings(invocation);
  if (invocation.options["print-config"]) {
    const { printConfig } = await import("./print_config.ts");
    await printConfig(invocation.options, settings);
    return EXIT.ok;
  }
  const config = configOf(settings);
  const log = new Log(config.logLevel);
  for (const warning of unknownVariables(Deno.env.toObject())) log.warn(warning);
  globalThis.addEventListener("unhandledrejection", (event) => {
    event.preventDefault();
    log.error("unhandled failure", { error: String(event.reason?.stack ?? event.reason) });
  });
  const stopped = Promise.withResolvers<string>();
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    Deno.addSignalListener(signal, () => stopped.resolve(signal));
  }
  const { Agent } = await import("../agent/node/agent.ts");
  const agent = await Promise.race([Agent.start(config, log), stopped.promise]);
  if (typeof agent === "string") Deno.exit(EXIT.ok);
  const signal = await stopped.promise;
  log.info("stopping; the datapath stays in place", { signal });
  await agent[Symbol.asyncDispose]();
  return EXIT.ok;
}
