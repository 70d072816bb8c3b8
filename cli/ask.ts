/** Questions to the agent. */

import { AgentClient, type CallOptions } from "../agent/api/client.ts";
import { DEFAULT_SOCKET } from "../agent/api/types.ts";
import type { OptionValues } from "./command.ts";

/** The client for the socket that the options or PILUS_SOCKET name. */
export function agentClient(options: OptionValues): AgentClient {
  const socket = options.socket ?? Deno.env.get("PILUS_SOCKET") ?? DEFAULT_SOCKET;
  return new AgentClient(String(socket));
}

/** One call; see AgentClient. */
export function ask<T>(options: OptionValues, path: string, call?: CallOptions): Promise<T> {
  return agentClient(options).call<T>(path, call);
}
