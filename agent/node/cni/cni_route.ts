/** What the CNI plugin asks the agent: `POST /v1/cni`, one verb of the specification a call. */

import {
  attachmentOf,
  CNI_ERROR,
  CNI_VERSIONS,
  type CniAnswer,
  type CniCall,
  CniError,
  cniFailure,
  type CniVersion,
  decodeConfig,
  shown,
} from "../../api/cni.ts";
import { type Endpoint, EndpointError, type EndpointErrorCode } from "../../api/endpoint.ts";
import type { ApiRoutes } from "../../api/server.ts";
import type { Health } from "../../api/views.ts";
import { doQueuedDelete } from "../endpoints/delete_queue.ts";
import type { EndpointManager } from "../endpoints/endpoint_manager.ts";
import { requireAnswering } from "../endpoints/pod_namespace.ts";
import type { AddressPair } from "../ipam/address_pool.ts";
import { checkConfig, type CniConfig, netnsOf, podOf } from "./cni_request.ts";

/** What {@linkcode cniRoute} takes. */
export interface CniRouteOptions {
  manager: EndpointManager;
  /** Has the queued deletions. */
  stateDir: string;
  health: () => Health;
}

interface Call extends CniRouteOptions {
  env: (name: string) => string | undefined;
  raw: Record<string, unknown>;
  /** Aborted when the plugin waits no longer. */
  signal: AbortSignal;
}

/** The route over the manager. */
export function cniRoute(options: CniRouteOptions): ApiRoutes {
  return {
    "POST /v1/cni": async ({ json, signal }): Promise<CniAnswer> => {
      const { env, config } = await json<Partial<CniCall>>();
      let version: unknown;
      try {
        const raw = decodeConfig(typeof config === "string" ? config : "");
        version = raw.cniVersion;
        const variables = new Map(Object.entries(env ?? {}));
        const result = await run({
          ...options,
          env: (name) => textOf(variables, name),
          raw,
          signal,
        });
        return result === undefined ? {} : { result };
      } catch (error) {
        const known = cniErrorOf(error);
        if (!known) throw error;
        return { error: cniFailure(known, version) };
      }
    },
  };
}

function textOf(variables: Map<string, unknown>, name: string): string | undefined {
  const value = variables.get(name);
  return typeof value === "string" ? value : undefined;
}

function run(call: Call): unknown {
  const { env, raw } = call;
  const command = env("CNI_COMMAND");
  switch (command) {
    case "ADD":
      return add(call, checkConfig(raw));
    case "DEL":
      return del(call, checkConfig(raw, { lenient: true }));
    case "CHECK":
      return check(call, since(checkConfig(raw), "0.4.0", command));
    case "STATUS":
      return status(call, since(checkConfig(raw), "1.1.0", command));
    case "GC":
      return gc(call, since(checkConfig(raw, { lenient: true }), "1.1.0", command));
  }
  throw new CniError(
    CNI_ERROR.invalidEnvironment,
    `Environment variable CNI_COMMAND is ${
      shown(command)
    }: the agent knows ADD, DEL, CHECK, STATUS and GC`,
  );
}

function since(config: CniConfig, first: CniVersion, command: string): CniConfig {
  if (CNI_VERSIONS.indexOf(config.cniVersion) >= CNI_VERSIONS.indexOf(first)) return config;
  throw new CniError(
    CNI_ERROR.incompatibleVersion,
    `${command} needs cniVersion ${first}, and the configuration has ${config.cniVersion}`,
  );
}

async function add(
  { env, manager, stateDir, signal }: Call,
  { cniVersion, prevResult }: CniConfig,
): Promise<unknown> {
  const request = { ...attachmentOf(env), netns: netnsOf(env), ...podOf(env) };
  if (prevResult) {
    throw new CniError(
      CNI_ERROR.unsupportedField,
      "pilus makes the pod's interface itself and cannot follow another plugin (prevResult): " +
        "put it first in the list",
    );
  }
  await requireAnswering(request.netns);
  await doQueuedDelete(stateDir, request, (...endpoint) => manager.delete(...endpoint));
  return addResult(cniVersion, await manager.create(request, signal), manager.router);
}

/** The result of ADD in the shape of its version. */
function addResult(
  cniVersion: CniVersion,
  { ipv4, ipv6, mtu, netns, ifname, hostIfname, hostMac, podMac }: Endpoint,
  router: AddressPair,
): Record<string, unknown> {
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

async function del({ env, manager }: Call, _config: CniConfig): Promise<void> {
  const { containerId, ifname } = attachmentOf(env);
  await manager.delete(containerId, ifname);
}

function check({ env, manager }: Call, { prevResult }: CniConfig): void {
  const { containerId, ifname } = attachmentOf(env);
  if (!prevResult) {
    throw new CniError(CNI_ERROR.invalidConfig, "Invalid configuration: CHECK needs prevResult");
  }
  const { ipv4, ipv6 } = manager.check(containerId, ifname);
  const own = [`${ipv4}/32`, `${ipv6}/128`];
  const ips = Array.isArray(prevResult.ips) ? prevResult.ips : [];
  for (const { address } of ips as { address?: unknown }[]) {
    if (own.includes(String(address))) continue;
    throw new CniError(
      CNI_ERROR.unhealthy,
      `prevResult has ${address}, and the endpoint has ${own.join(" and ")}`,
    );
  }
}

function status({ health }: Call, _config: CniConfig): void {
  const { ok, reason = "it gives no reason" } = health();
  if (ok) return;
  throw new CniError(CNI_ERROR.notAvailable, `The agent cannot add pods: ${reason}`);
}

async function gc({ manager }: Call, { validAttachments }: CniConfig): Promise<void> {
  // Without a list nothing is known to be stale; cnitool calls so.
  if (validAttachments) await manager.gc(validAttachments);
}

const CODES: Record<EndpointErrorCode, number> = {
  "invalid": CNI_ERROR.invalidConfig,
  "netns": CNI_ERROR.invalidEnvironment,
  "not-found": CNI_ERROR.unknownContainer,
  "exhausted": CNI_ERROR.tryAgainLater,
  "outdated": CNI_ERROR.tryAgainLater,
  "unhealthy": CNI_ERROR.unhealthy,
  "internal": CNI_ERROR.failed,
};

/** The refusal as the runtime gets it; undefined when it is no refusal but a fault. */
function cniErrorOf(error: unknown): CniError | undefined {
  if (error instanceof CniError) return error;
  if (!(error instanceof EndpointError)) return undefined;
  return new CniError(CODES[error.code], error.message, error.hint);
}
