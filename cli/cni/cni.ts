/**
 * The program as a CNI plugin: what the runtime gives goes to the agent, and its answer back. The
 * agent installs the same in C (plugin/); the tests run both.
 */

import { AgentClient, AgentUnreachableError } from "../../agent/api/client.ts";
import {
  attachmentOf,
  CNI_ERROR,
  CNI_TIMEOUTS,
  CNI_VARIABLES,
  CNI_VERSIONS,
  type CniAnswer,
  type CniCall,
  type CniCommand,
  CniError,
  cniFailure,
  configPath,
  decodeConfig,
  isCniVersion,
  MAX_CONFIG_BYTES,
  shown,
} from "../../agent/api/cni.ts";
import { DEFAULT_SOCKET, DEFAULT_STATE_DIR } from "../../agent/api/types.ts";
import { queueDelete } from "./cni_queue.ts";

const env = (name: string) => Deno.env.get(name);

/** Does what CNI_COMMAND says, prints the answer, and ends the process: 0, or 1 after an error. */
export async function runCni(): Promise<never> {
  let version: unknown;
  let answer: CniAnswer;
  try {
    const command = commandOf(env("CNI_COMMAND"));
    const signal = AbortSignal.timeout(CNI_TIMEOUTS[command]);
    const text = await readStdin(signal);
    const config = decodeConfig(text);
    version = config.cniVersion;
    answer = command === "VERSION"
      ? { result: versions(config) }
      : await ask(command, config, text, signal);
  } catch (error) {
    answer = { error: cniFailure(toCniError(error), version) };
  }
  const printed = answer.error ?? answer.result;
  if (printed !== undefined) print(printed);
  // what still waits for stdin would hold the process
  Deno.exit(answer.error ? 1 : 0);
}

function commandOf(text: string | undefined): CniCommand {
  if (text !== undefined && Object.hasOwn(CNI_TIMEOUTS, text)) return text as CniCommand;
  throw new CniError(
    CNI_ERROR.invalidEnvironment,
    `Environment variable CNI_COMMAND is ${shown(text)}: ` +
      `pilus knows ${Object.keys(CNI_TIMEOUTS).join(", ")}`,
  );
}

function print(value: unknown): void {
  const bytes = new TextEncoder().encode(JSON.stringify(value) + "\n");
  for (let sent = 0; sent < bytes.length;) sent += Deno.stdout.writeSync(bytes.subarray(sent));
}

/** Everything on stdin. Throws CniError 6 when it is more than any configuration. */
async function readStdin(signal: AbortSignal): Promise<string> {
  const late = new Promise<never>((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
  late.catch(() => {}); // it comes after stdin has ended, too
  const parts: string[] = [];
  const decoder = new TextDecoder();
  const chunk = new Uint8Array(64 * 1024);
  let size = 0;
  while (true) {
    const length = await Promise.race([Deno.stdin.read(chunk), late]);
    if (length === null) break;
    size += length;
    if (size > MAX_CONFIG_BYTES) {
      throw new CniError(
        CNI_ERROR.undecodable,
        `Cannot decode the configuration on stdin: it has more than ${MAX_CONFIG_BYTES} bytes`,
      );
    }
    parts.push(decoder.decode(chunk.subarray(0, length), { stream: true }));
  }
  return parts.join("") + decoder.decode();
}

function versions({ cniVersion }: Record<string, unknown>) {
  return {
    cniVersion: isCniVersion(cniVersion) ? cniVersion : CNI_VERSIONS.at(-1)!,
    supportedVersions: CNI_VERSIONS,
  };
}

/** The agent's answer. Without one, DEL is queued for it; the other commands fail. */
async function ask(
  command: CniCommand,
  config: Record<string, unknown>,
  text: string,
  signal: AbortSignal,
): Promise<CniAnswer> {
  const socket = configPath(config, "socket") ?? DEFAULT_SOCKET;
  const stateDir = configPath(config, "stateDir") ?? DEFAULT_STATE_DIR;
  const set = CNI_VARIABLES.map((name) => [name, env(name)] as const);
  const body: CniCall = {
    env: Object.fromEntries(set.filter(([, value]) => value !== undefined)),
    config: text,
  };
  try {
    return await new AgentClient(socket).call("/v1/cni", { method: "POST", body, signal });
  } catch (error) {
    const unreachable = error instanceof AgentUnreachableError;
    if (command === "DEL" && (unreachable || isTimeout(error))) {
      queue(stateDir, error as Error);
      return {};
    }
    if (command === "CHECK" && unreachable) {
      throw new CniError(CNI_ERROR.tryAgainLater, error.message);
    }
    throw error;
  }
}

function queue(stateDir: string, reason: Error): void {
  const attachment = attachmentOf(env);
  try {
    queueDelete(stateDir, attachment);
  } catch (error) {
    throw new CniError(
      CNI_ERROR.ioFailure,
      `Cannot queue the deletion in ${stateDir}: ${(error as Error).message}`,
      reason.message,
    );
  }
}

function isTimeout(error: unknown): error is DOMException {
  return error instanceof DOMException && error.name === "TimeoutError";
}

function toCniError(error: unknown): CniError {
  if (error instanceof CniError) return error;
  if (error instanceof AgentUnreachableError) {
    return new CniError(CNI_ERROR.notAvailable, error.message);
  }
  if (isTimeout(error)) {
    return new CniError(
      CNI_ERROR.tryAgainLater,
      "Neither the runtime's configuration nor the agent's answer came in time",
    );
  }
  return new CniError(CNI_ERROR.failed, error instanceof Error ? error.message : String(error));
}
