/** Hubble's API over a ring of made-up flows, on a unix socket, with a client. */

import { flowFilter } from "../../flows/flow_filter.ts";
import { FlowType, type PacketFlow, Verdict } from "../../flows/flow.ts";
import { FlowRing } from "../../flows/flow_ring.ts";
import type { RecordFormat } from "../../flows/record_format.ts";
import { GrpcClient } from "../../grpc/grpc_client.ts";
import { GrpcServer } from "../../grpc/grpc_server.ts";
import { FlowMaker, type HubbleNames } from "../flow_maker.ts";
import type { FlowMessage, GetFlowsRequest, GetFlowsResponse } from "../flow_message.ts";
import { healthMethods } from "../health_service.ts";
import { decode, encode } from "../messages.ts";
import { observerMethods } from "../observer_service.ts";
import { peerMethods, type Peers } from "../peer_service.ts";

/** The time of the first flow, in seconds since 1970; each next one is a second later. */
export const START = 1_700_000_000;

const PODS = new Map([
  ["10.0.0.1", "shop/cart-1"],
  ["10.0.0.2", "shop/db-1"],
  ["10.0.1.1", "default/client"],
  ["fd00::1", "shop/cart-1"],
  ["10.0.0.9", "node-a"],
]);

export const NAMES: HubbleNames = {
  revision: () => 0,
  pod: (ip) => PODS.get(ip),
  endpoint: (ip) => ip === "10.0.0.1" ? 7 : undefined,
  labels: (identity) =>
    identity === 2 ? ["reserved:world"] : [
      `k8s:app=${identity === 1001 ? "cart" : "db"}`,
      "k8s:io.kubernetes.pod.namespace=shop",
    ],
  service: (ip, port) =>
    ip === "10.96.0.1" && port === 80 ? { name: "cart", namespace: "shop" } : undefined,
  interface: (ifindex) => `lxc${ifindex}`,
  policy: (cookie) =>
    cookie === 5
      ? { name: "only-cart", namespace: "shop", kind: "CiliumNetworkPolicy" }
      : undefined,
  rule: (cookie) => cookie === 5 ? "denied by CiliumNetworkPolicy shop/only-cart" : undefined,
};

/** A trace of TCP from shop/cart-1 to shop/db-1. */
export function packet(changes: Partial<PacketFlow> = {}): PacketFlow {
  return {
    kind: "packet",
    type: FlowType.TRACE,
    seconds: START,
    nanoseconds: 5,
    node: "node-a",
    verdict: changes.type === FlowType.DROP ? Verdict.DROPPED : Verdict.FORWARDED,
    reason: 0,
    point: 1,
    status: 1,
    direction: 0,
    cookie: 0,
    endpoint: 7,
    ifindex: 3,
    family: 4,
    protocol: 6,
    source: { ip: "10.0.0.1", identity: 1001, port: 40_000 },
    destination: { ip: "10.0.0.2", identity: 1002, port: 5432 },
    tcpFlags: 2,
    icmpType: 0,
    length: 60,
    ...changes,
  };
}

export interface HubblePlace extends AsyncDisposable {
  ring: FlowRing;
  maker: FlowMaker;
  client: GrpcClient;
  path: string;
  /** Keeps flows, as the node would that saw them. */
  see(...flows: PacketFlow[]): void;
  /** What a call answers. */
  ask<T>(method: string, request: object, signal?: AbortSignal): AsyncGenerator<T>;
  /** The flows that a request gets that does not follow. */
  flows(request: GetFlowsRequest): Promise<FlowMessage[]>;
  responses(request: GetFlowsRequest, signal?: AbortSignal): AsyncGenerator<GetFlowsResponse>;
}

/** Request and answer of each method by path. */
const MESSAGES: Readonly<Record<string, readonly [string, string]>> = {
  "/peer.Peer/Notify": ["peer.NotifyRequest", "peer.ChangeNotification"],
  "/grpc.health.v1.Health/Check": [
    "grpc.health.v1.HealthCheckRequest",
    "grpc.health.v1.HealthCheckResponse",
  ],
};

function messagesOf(path: string): readonly [string, string] {
  const name = path.split("/").at(-1)!;
  return MESSAGES[path] ?? [`observer.${name}Request`, `observer.${name}Response`];
}

/** Serves until disposed of. `capacity`: flows of each type, a power of two. */
export async function hubblePlace(
  { capacity = 1024, peers = { list: () => [], watch: () => ({ [Symbol.dispose]() {} }) } }: {
    capacity?: number;
    peers?: Peers;
  } = {},
): Promise<HubblePlace> {
  const known: PacketFlow[] = [];
  const podOf = (ip: string) => PODS.get(ip);
  /** Records are the type and the place of their flow. */
  const format: RecordFormat = {
    size: 8,
    types: [FlowType.DROP, FlowType.TRACE, FlowType.VERDICT],
    decode: (view, offset) => known[view.getInt32(offset + 4, true)]!,
    time: (view, offset) => known[view.getInt32(offset + 4, true)]!.seconds * 1000,
    filter: (filter) => {
      const passes = flowFilter(filter, podOf);
      return (view, offset) => passes(format.decode(view, offset));
    },
  };
  const ring = new FlowRing({ format, podOf, capacity, made: new Map([[FlowType.AGENT, 64]]) });
  const maker = new FlowMaker("node-a", NAMES);
  const stack = new AsyncDisposableStack();
  const directory = Deno.makeTempDirSync({ prefix: "pilus-hubble-" });
  stack.defer(() => Deno.removeSync(directory, { recursive: true }));
  const path = `${directory}/hubble.sock`;
  const server = stack.use(
    new GrpcServer({
      methods: {
        ...observerMethods({
          ...{ ring, maker, version: "pilus test", startedAt: Date.now(), address: "" },
          namespaces: () => ["shop", "default", "shop"],
        }),
        ...peerMethods(peers),
        ...healthMethods(["observer.Observer"]),
      },
      onError: (what, error) => {
        throw new Error(what, { cause: error });
      },
    }),
  );
  server.listen(Deno.listen({ transport: "unix", path }));
  const client = stack.use(
    new GrpcClient(await Deno.connect({ transport: "unix", path }), {
      authority: "localhost",
      tls: false,
    }),
  );
  const record = new DataView(new ArrayBuffer(8));
  const place: HubblePlace = {
    ...{ ring, maker, client, path },
    see: (...flows) => {
      for (const flow of flows) {
        record.setInt32(0, flow.type, true);
        record.setInt32(4, known.push(flow) - 1, true);
        ring.pushRecord(flow.type, record, 0);
      }
      ring.notify();
    },
    ask: async function* <T>(method: string, request: object, signal?: AbortSignal) {
      const [question, answer] = messagesOf(method);
      for await (const bytes of client.call(method, encode(question, request), signal)) {
        yield decode<T>(answer, bytes);
      }
    },
    flows: async (request) => {
      const responses = await Array.fromAsync(place.responses(request));
      return responses.flatMap(({ flow }) => flow ? [flow] : []);
    },
    responses: (request, signal) => place.ask("/observer.Observer/GetFlows", request, signal),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
  return place;
}
