/** The CNI plugin (specification 1.1.0): asks the agent, and answers the runtime on stdout. */

import { AgentClient, AgentError, AgentUnreachableError } from "../../agent/api/client.ts";
import {
  DEFAULT_SOCKET,
  DEFAULT_STATE_DIR,
  type EndpointCreateResponse,
} from "../../agent/api/types.ts";
import {
  argsOf,
  attachmentOf,
  checkConfig,
  CNI_ERROR,
  CNI_VERSIONS,
  type CniConfig,
  CniError,
  type CniVersion,
  decodeConfig,
  MAX_CONFIG_BYTES,
  netnsOf,
} from "./cni_config.ts";
import { queueDelete } from "./cni_queue.ts";

/** Time limits of calls to the agent in ms: below those of runtimes, so that they get our words. */
const ADD_TIMEOUT = 60_000, DELETE_TIMEOUT = 20_000, STATUS_TIMEOUT = 3_000;

type Env = (name: string) => string | undefined;

/**
 * Does what CNI_COMMAND says with the configuration on stdin, and prints the result or the error.
 * Resolves to the exit code: 0, or 1 after an error.
 */
export async function runCni(): Promise<number> {
  const env: Env = (name) => Deno.env.get(name);
  let version: string = CNI_VERSIONS.at(-1)!;
  try {
    const raw = decodeConfig(await readStdin());
    if (typeof raw.cniVersion === "string") version = raw.cniVersion;
    const result = await runVerb(env, raw);
    if (result !== undefined) print(result);
  } catch (error) {
    const known = toCniError(error);
    print({
      cniVersion: CNI_VERSIONS.includes(version as CniVersion) ? version : CNI_VERSIONS.at(-1)!,
      code: known.code,
      msg: known.message,
      ...(known.details === undefined ? {} : { details: known.details }),
    });
    return 1;
  }
  return 0;
}

function print(value: unknown): void {
  const bytes = new TextEncoder().encode(JSON.stringify(value) + "\n");
  for (let sent = 0; sent < bytes.length;) sent += Deno.stdout.writeSync(bytes.subarray(sent));
}

/** Everything on stdin. Throws CniError 6 when it is more than any configuration. */
async function readStdin(): Promise<string> {
  const parts: string[] = [];
  const decoder = new TextDecoder();
  const chunk = new Uint8Array(64 * 1024);
  let size = 0;
  while (true) {
    const length = await Deno.stdin.read(chunk);
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

function runVerb(env: Env, raw: Record<string, unknown>): unknown {
  const command = env("CNI_COMMAND");
  switch (command) {
    case "ADD":
      return add(env, checkConfig(raw));
    case "DEL":
      return del(env, checkConfig(raw, { lenient: true }));
    case "CHECK":
      return check(env, since(checkConfig(raw), "0.4.0", command));
    case "STATUS":
      return status(since(checkConfig(raw), "1.1.0", command));
    case "GC":
      return gc(since(checkConfig(raw, { lenient: true }), "1.1.0", command));
    case "VERSION":
      return versions(raw);
  }
  throw new CniError(
    CNI_ERROR.invalidEnvironment,
    `Environment variable CNI_COMMAND is ${JSON.stringify(command)}: ` +
      "pilus knows ADD, DEL, CHECK, STATUS, VERSION and GC",
  );
}

function since(config: CniConfig, first: CniVersion, command: string): CniConfig {
  if (CNI_VERSIONS.indexOf(config.cniVersion) >= CNI_VERSIONS.indexOf(first)) return config;
  throw new CniError(
    CNI_ERROR.incompatibleVersion,
    `${command} needs cniVersion ${first}, and the configuration has ${config.cniVersion}`,
  );
}

function client({ socket = DEFAULT_SOCKET }: CniConfig): AgentClient {
  return new AgentClient(socket);
}

function endpointPath({ containerId, ifname }: { containerId: string; ifname: string }): string {
  return `/v1/endpoints/${encodeURIComponent(containerId)}/${encodeURIComponent(ifname)}`;
}

function versions({ cniVersion }: Record<string, unknown>) {
  return {
    cniVersion: CNI_VERSIONS.find((known) => known === cniVersion) ?? CNI_VERSIONS.at(-1)!,
    supportedVersions: CNI_VERSIONS,
  };
}

async function add(env: Env, config: CniConfig): Promise<unknown> {
  const attachment = attachmentOf(env);
  const netns = netnsOf(env);
  const args = argsOf(env);
  if (config.prevResult) {
    throw new CniError(
      CNI_ERROR.unsupportedField,
      "pilus makes the pod's interface itself and cannot follow another plugin (prevResult): " +
        "put it first in the list",
    );
  }
  const response = await client(config).call<EndpointCreateResponse>("/v1/endpoints", {
    method: "POST",
    body: {
      ...attachment,
      netns,
      namespace: args.K8S_POD_NAMESPACE ?? "",
      pod: args.K8S_POD_NAME ?? "",
    },
    signal: AbortSignal.timeout(ADD_TIMEOUT),
  });
  return addResult(config.cniVersion, response);
}

/** The result of ADD in the shape of its version. */
function addResult(
  cniVersion: CniVersion,
  { endpoint, router }: EndpointCreateResponse,
): Record<string, unknown> {
  const { ipv4, ipv6, mtu, netns, ifname, hostIfname, hostMac, podMac } = endpoint;
  const old = cniVersion.startsWith("0.");
  const withMtu = cniVersion === "1.1.0" ? { mtu } : {};
  const ips = [], routes = [];
  if (ipv4) {
    const version = old ? { version: "4" } : {};
    ips.push({ ...version, interface: 1, address: `${ipv4}/32`, gateway: router.ipv4 });
    routes.push({ dst: "0.0.0.0/0", gw: router.ipv4 });
  }
  if (ipv6) {
    const version = old ? { version: "6" } : {};
    ips.push({ ...version, interface: 1, address: `${ipv6}/128`, gateway: router.ipv6 });
    routes.push({ dst: "::/0", gw: router.ipv6 });
  }
  return {
    cniVersion,
    interfaces: [
      { name: hostIfname, mac: hostMac, ...withMtu },
      { name: ifname, mac: podMac, ...withMtu, sandbox: netns },
    ],
    ips,
    routes,
    dns: {},
  };
}

/** Succeeds when the agent is down: the deletion is queued for it. */
async function del(env: Env, config: CniConfig): Promise<void> {
  const attachment = attachmentOf(env);
  try {
    await client(config).call(endpointPath(attachment), {
      method: "DELETE",
      signal: AbortSignal.timeout(DELETE_TIMEOUT),
    });
  } catch (error) {
    const unreachable = error instanceof AgentUnreachableError || isTimeout(error);
    if (!unreachable) throw error;
    const stateDir = config.stateDir ?? DEFAULT_STATE_DIR;
    try {
      queueDelete(stateDir, attachment);
    } catch (cause) {
      throw new CniError(
        CNI_ERROR.ioFailure,
        `Cannot queue the deletion in ${stateDir}: ${(cause as Error).message}`,
        error.message,
      );
    }
  }
}

async function check(env: Env, config: CniConfig): Promise<void> {
  const attachment = attachmentOf(env);
  const { prevResult } = config;
  if (!prevResult) {
    throw new CniError(CNI_ERROR.invalidConfig, "Invalid configuration: CHECK needs prevResult");
  }
  let endpoint: { ipv4?: string; ipv6?: string };
  try {
    endpoint = await client(config).call(`${endpointPath(attachment)}/check`, {
      signal: AbortSignal.timeout(DELETE_TIMEOUT),
    });
  } catch (error) {
    if (!(error instanceof AgentUnreachableError)) throw error;
    throw new CniError(CNI_ERROR.tryAgainLater, error.message);
  }
  const own = [`${endpoint.ipv4}/32`, `${endpoint.ipv6}/128`];
  const ips = Array.isArray(prevResult.ips) ? prevResult.ips : [];
  for (const { address } of ips as { address?: unknown }[]) {
    if (own.includes(String(address))) continue;
    throw new CniError(
      CNI_ERROR.unhealthy,
      `prevResult has ${address}, and the endpoint has ${own.join(" and ")}`,
    );
  }
}

async function status(config: CniConfig): Promise<void> {
  const health = await client(config).call<{ ok: boolean; reason?: string }>("/v1/health", {
    signal: AbortSignal.timeout(STATUS_TIMEOUT),
  });
  if (!health.ok) {
    throw new CniError(
      CNI_ERROR.notAvailable,
      `The agent cannot add pods: ${health.reason ?? "it gives no reason"}`,
    );
  }
}

async function gc(config: CniConfig): Promise<void> {
  // Without a list nothing is known to be stale; cnitool calls so.
  if (!config.validAttachments) return;
  await client(config).call("/v1/endpoints/gc", {
    method: "POST",
    body: { valid: config.validAttachments },
    signal: AbortSignal.timeout(ADD_TIMEOUT),
  });
}

function isTimeout(error: unknown): error is DOMException {
  return error instanceof DOMException && error.name === "TimeoutError";
}

/** CNI codes of the agent's refusals. */
const AGENT_CODES = new Map<string, number>([
  ["invalid", CNI_ERROR.invalidConfig],
  ["netns", CNI_ERROR.invalidEnvironment],
  ["not-found", CNI_ERROR.unknownContainer],
  ["exhausted", CNI_ERROR.tryAgainLater],
  ["unhealthy", CNI_ERROR.unhealthy],
]);

function toCniError(error: unknown): CniError {
  if (error instanceof CniError) return error;
  if (error instanceof AgentUnreachableError) {
    return new CniError(CNI_ERROR.notAvailable, error.message);
  }
  if (error instanceof AgentError) {
    return new CniError(AGENT_CODES.get(error.code) ?? CNI_ERROR.failed, error.message, error.hint);
  }
  if (isTimeout(error)) {
    return new CniError(CNI_ERROR.tryAgainLater, "The agent did not answer in time", error.message);
  }
  return new CniError(CNI_ERROR.failed, error instanceof Error ? error.message : String(error));
}
