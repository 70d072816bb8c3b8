/** Hubble's observer of one node. */

import { untilAborted } from "../core/pause.ts";
import type { FlowRing } from "../flows/flow_ring.ts";
import { GrpcError, Status } from "../grpc/status.ts";
import type { GrpcCall, GrpcMethods } from "../grpc/grpc_server.ts";
import { agentEventStream } from "./agent_event_stream.ts";
import { CLUSTER, type FlowMaker } from "./flow_maker.ts";
import { flowStream } from "./flow_stream.ts";
import type { GetFlowsRequest, StreamRequest } from "./flow_message.ts";
import { decode, encode } from "./messages.ts";

/** What {@linkcode observerMethods} takes. */
export interface ObserverOptions {
  ring: FlowRing;
  maker: FlowMaker;
  version: string;
  /** Milliseconds since 1970. */
  startedAt: number;
  /** Where others reach this node's observer; empty: nowhere. */
  address: string;
  /** Namespaces that have pods. */
  namespaces(): Iterable<string>;
}

/** The methods of the service, by path. */
export function observerMethods(options: ObserverOptions): GrpcMethods {
  const { ring, maker, version, startedAt, address, namespaces } = options;
  const counts = () => {
    const { kept, most, seen, since } = ring.history();
    return {
      num_flows: kept,
      max_flows: most,
      seen_flows: seen,
      uptime_ns: (Date.now() - startedAt) * 1e6,
      rate: since === undefined ? 0 : kept / Math.max(1, (Date.now() - since) / 1000),
    };
  };
  return {
    "/observer.Observer/ServerStatus": once(() => {
      const { rate, ...numbers } = counts();
      return encode("observer.ServerStatusResponse", { ...numbers, version, flows_rate: rate });
    }),
    "/observer.Observer/GetFlows": (bytes, { signal }) =>
      flowStream(ring, maker, request<GetFlowsRequest>("GetFlowsRequest", bytes), signal),
    "/observer.Observer/GetAgentEvents": (bytes, { signal }) =>
      agentEventStream(ring, maker, request<StreamRequest>("GetAgentEventsRequest", bytes), signal),
    "/observer.Observer/GetDebugEvents": (bytes, call) =>
      noEvents(request<StreamRequest>("GetDebugEventsRequest", bytes), call),
    "/observer.Observer/GetNodes": once(() => {
      const { rate: _, ...numbers } = counts();
      const node = { name: maker.node, version, address, state: CONNECTED, ...numbers };
      return encode("observer.GetNodesResponse", { nodes: [node] });
    }),
    "/observer.Observer/GetNamespaces": once(() => {
      const names = [...new Set(namespaces())].sort();
      return encode("observer.GetNamespacesResponse", {
        namespaces: names.map((namespace) => ({ cluster: CLUSTER, namespace })),
      });
    }),
  };
}

const CONNECTED = 1;

function once(answer: () => Uint8Array) {
  return async function* (): AsyncGenerator<Uint8Array[]> {
    yield [await answer()];
  };
}

/** The programs have no events of debugging. */
async function* noEvents(
  { follow }: StreamRequest,
  { signal }: GrpcCall,
): AsyncGenerator<Uint8Array[]> {
  if (follow) await untilAborted(signal);
  yield [];
}

/** A request of the observer's. Throws GrpcError when the bytes are none. */
export function request<T>(name: string, bytes: Uint8Array): T {
  try {
    return decode<T>(`observer.${name}`, bytes);
  } catch (error) {
    const message = `the request is no ${name}: ${(error as Error).message}`;
    throw new GrpcError(Status.INVALID_ARGUMENT, message, { cause: error });
  }
}
