/** The load balancer as the kernel has it, and where a flow would go. */

import { monotonicNs } from "../../../datapath/ffi/libc.ts";
import { formatCidr, formatIp, tryParseIp } from "../../../datapath/net/ip.ts";
import { inNamespace, namespaceCookie, openNamespace } from "../../../datapath/net/netns.ts";
import { listMappings } from "../conntrack/mappings.ts";
import { kernelBackends, kernelFrontends, kernelTables } from "../services/inspect/kernel_view.ts";
import { traceService } from "../services/inspect/trace.ts";
import type { AgentState } from "./agent_state.ts";
import { ApiError, type ApiRoutes } from "../../api/server.ts";
import type { SourceRangeView } from "../../api/views.ts";

const PROTOCOLS: Record<string, number> = { tcp: 6, udp: 17 };

const SOURCE_RANGE_BITS = 32;

function invalid(message: string): ApiError {
  return new ApiError(400, { code: "invalid", message });
}

function addressOf(query: URLSearchParams, name: string): Uint8Array<ArrayBuffer> | undefined {
  const text = query.get(name);
  if (text === null) return undefined;
  const ip = tryParseIp(text);
  if (!ip) throw invalid(`${name} is no address: ${text}`);
  return ip;
}

function portOf(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null) return undefined;
  const port = Number(text);
  if (!Number.isInteger(port) || port < 0 || port > 65535) {
    throw invalid(`${name} is no port: ${text}`);
  }
  return port;
}

/** The namespace of a client whose sockets are translated here; undefined when it is no such one. */
function cookieOf(agent: AgentState, client: string | undefined): bigint | undefined {
  const self = agent.model.self;
  if (client === undefined || self?.addresses.some((ip) => formatIp(ip) === client)) {
    return namespaceCookie();
  }
  const pod = agent.manager.table.rows().find(({ ipv4, ipv6 }) =>
    client === ipv4 || client === ipv6
  );
  if (!pod) return undefined;
  using netns = openNamespace(pod.netns);
  return inNamespace(netns.fd, namespaceCookie);
}

function trace(agent: AgentState, query: URLSearchParams) {
  const address = addressOf(query, "address"), port = portOf(query, "port");
  const protocol = PROTOCOLS[query.get("protocol") ?? "tcp"];
  if (!address || port === undefined) throw invalid("address and port of the service are needed");
  if (protocol === undefined) throw invalid(`protocol is tcp or udp, not ${query.get("protocol")}`);
  const client = addressOf(query, "from"), clientPort = portOf(query, "fromPort");
  const cookie = cookieOf(agent, client && formatIp(client));
  return traceService(agent.maps, {
    frontend: { address, port, protocol },
    ...(client ? { client } : {}),
    ...(clientPort === undefined ? {} : { clientPort }),
    ...(cookie === undefined ? {} : { cookie }),
    inside: cookie !== undefined,
    maglevSize: agent.config.maglevSize,
    now: monotonicNs(),
  });
}

function* sourceRanges({ maps }: AgentState): Generator<SourceRangeView> {
  for (const { service, prefixLength, address } of maps.pilus_source_ranges.keys()) {
    yield {
      service,
      prefix: formatCidr({
        address: address.slice(),
        prefixLength: prefixLength - SOURCE_RANGE_BITS,
      }),
    };
  }
}

/** Routes by `METHOD /path`. */
export function balancerRoutes(agent: AgentState): ApiRoutes {
  const { maps } = agent;
  return {
    "GET /v1/lb/frontends": () => kernelFrontends(maps),
    "GET /v1/lb/backends": () => kernelBackends(maps),
    "GET /v1/lb/source-ranges": () => [...sourceRanges(agent)],
    "GET /v1/lb/maglev": () => kernelTables(maps, agent.config.maglevSize),
    "GET /v1/lb/trace": ({ query }) => trace(agent, query),
    "GET /v1/nat": ({ query }) => [
      ...listMappings(maps.pilus_nat).take(Number(query.get("limit") ?? 10_000)),
    ],
  };
}
