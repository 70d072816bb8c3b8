/** The load balancer as the kernel has it, and where a flow would go. */

import { monotonicNs } from "../../../../datapath/bpf/ffi/libc.ts";
import { formatCidr, formatIp, tryParseIp } from "../../../../datapath/net/ip.ts";
import { inNamespace, namespaceCookie, openNamespace } from "../../../../datapath/net/netns.ts";
import { kernelBackends, kernelFrontends, kernelTables } from "./kernel_view.ts";
import { traceService } from "./trace.ts";
import type { PilusMaps } from "../../../../datapath/maps/mod.ts";
import type { Endpoint } from "../../../api/endpoint.ts";
import type { Table } from "../../../core/table.ts";
import type { ClusterNode } from "../../../cluster/rows.ts";
import { ApiError, type ApiRoutes } from "../../../api/server.ts";
import type { SourceRangeView } from "../../../api/views.ts";

const PROTOCOLS = new Map([["tcp", 6], ["udp", 17]]);

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

/** What the routes read. */
export interface BalancerState {
  maps: PilusMaps;
  maglevSize: number;
  endpoints: Table<Endpoint>;
  /** This node, as long as its manifest is there. */
  self: () => ClusterNode | undefined;
}

/** The namespace of a client whose sockets are translated here; undefined when it is no such one. */
function cookieOf(
  { endpoints, self }: BalancerState,
  client: string | undefined,
): bigint | undefined {
  if (client === undefined || self()?.addresses.some((ip) => formatIp(ip) === client)) {
    return namespaceCookie();
  }
  const pod = endpoints.rows().find(({ ipv4, ipv6 }) => client === ipv4 || client === ipv6);
  if (!pod) return undefined;
  using netns = openNamespace(pod.netns);
  return inNamespace(netns.fd, namespaceCookie);
}

function trace(state: BalancerState, query: URLSearchParams) {
  const address = addressOf(query, "address"), port = portOf(query, "port");
  const protocol = PROTOCOLS.get(query.get("protocol") ?? "tcp");
  if (!address || port === undefined) throw invalid("address and port of the service are needed");
  if (protocol === undefined) throw invalid(`protocol is tcp or udp, not ${query.get("protocol")}`);
  const client = addressOf(query, "from"), clientPort = portOf(query, "fromPort");
  const cookie = cookieOf(state, client && formatIp(client));
  return traceService(state.maps, {
    frontend: { address, port, protocol },
    ...(client ? { client } : {}),
    ...(clientPort === undefined ? {} : { clientPort }),
    ...(cookie === undefined ? {} : { cookie }),
    internal: cookie !== undefined,
    maglevSize: state.maglevSize,
    now: monotonicNs(),
  });
}

function* sourceRanges({ maps }: BalancerState): Generator<SourceRangeView> {
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
export function balancerRoutes(state: BalancerState): ApiRoutes {
  const { maps, maglevSize } = state;
  return {
    "GET /v1/lb/frontends": () => kernelFrontends(maps),
    "GET /v1/lb/backends": () => kernelBackends(maps),
    "GET /v1/lb/source-ranges": () => [...sourceRanges(state)],
    "GET /v1/lb/maglev": () => kernelTables(maps, maglevSize),
    "GET /v1/lb/trace": ({ query }) => trace(state, query),
  };
}
