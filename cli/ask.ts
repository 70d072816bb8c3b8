/** Questions to the agent. */

import { AgentClient, AgentUnreachableError, type CallOptions } from "../agent/api/client.ts";
import { DEFAULT_SOCKET } from "../agent/api/types.ts";
import type { OptionValues } from "./command.ts";

/** Seconds after which an agent that does not answer is given up. */
const PATIENCE = 30;

function socketOf(options: OptionValues): string {
  return String(options.socket ?? Deno.env.get("PILUS_SOCKET") ?? DEFAULT_SOCKET);
}

/** The client for the socket that the options or PILUS_SOCKET name. */
export function agentClient(options: OptionValues): AgentClient {
  return new AgentClient(socketOf(options));
}

/** One call; see AgentClient. An agent that does not answer in time counts as unreachable. */
export async function ask<T>(
  options: OptionValues,
  path: string,
  call: CallOptions = {},
): Promise<T> {
  const signal = AbortSignal.timeout(PATIENCE * 1000);
  try {
    return await agentClient(options).call<T>(path, { signal, ...call });
  } catch (cause) {
    if (cause !== signal.reason) throw cause;
    throw new AgentUnreachableError(
      `The agent at ${socketOf(options)} did not answer within ${PATIENCE} s: see its log`,
      { cause },
    );
  }
}
