import { assert, assertEquals, assertRejects } from "@std/assert";
import { GrpcClient } from "../grpc/grpc_client.ts";
import { GrpcServer } from "../grpc/grpc_server.ts";
import { GrpcError } from "../grpc/status.ts";
import type { GetFlowsRequest, GetFlowsResponse } from "../hubble/flow_message.ts";
import { decode, encode } from "../hubble/messages.ts";
import { hubblePlace, packet, START } from "../hubble/testdata/hubble_place.ts";
import { PeerList, type RelayPeer } from "./peers.ts";
import { relayMethods } from "./relay_service.ts";

interface Relay extends AsyncDisposable {
  ask<T>(method: string, request: object, signal?: AbortSignal): AsyncGenerator<T>;
}

async function relayOf(peers: PeerList): Promise<Relay> {
  const stack = new AsyncDisposableStack();
  const connect = async ({ address }: RelayPeer) => {
    const connection = await Deno.connect({
      transport: "unix",
      path: (address as { path: string }).path,
    });
    return new GrpcClient(connection, { authority: "localhost", tls: false });
  };
  const server = stack.use(
    new GrpcServer({
      methods: relayMethods({ name: "relay", version: "test", peers, connect }),
      onError: (what, error) => {
        throw new Error(what, { cause: error });
      },
    }),
  );
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  server.listen(listener);
  const client = stack.use(
    new GrpcClient(await Deno.connect({ hostname: "127.0.0.1", port: listener.addr.port }), {
      ...{ authority: "localhost", tls: false },
    }),
  );
  return {
    ask: async function* <T>(method: string, request: object, signal?: AbortSignal) {
      const bytes = encode(`observer.${method}Request`, request);
      for await (const answer of client.call(`/observer.Observer/${method}`, bytes, signal)) {
        yield decode<T>(`observer.${method}Response`, answer);
      }
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

function at(n: number) {
  return packet({ seconds: START + n, source: { ip: "10.0.0.1", identity: 1, port: n } });
}

const portOf = ({ flow }: GetFlowsResponse) => flow?.l4?.TCP?.source_port;

Deno.test("a relay merges the flows of its peers by time, and says which are away", async () => {
  await using a = await hubblePlace();
  await using b = await hubblePlace();
  for (let n = 0; n < 1000; n++) (n % 3 ? a : b).see(at(n));
  await using relay = await relayOf(
    new PeerList([
      { name: "a", address: { path: a.path } },
      { name: "b", address: { path: b.path } },
      { name: "c", address: { path: "/nobody" } },
    ]),
  );
  const request: GetFlowsRequest = { first: true };
  const responses = await Array.fromAsync(relay.ask<GetFlowsResponse>("GetFlows", request));
  const ports = responses.map(portOf).filter((port) => port !== undefined);
  assertEquals(ports, Array.from({ length: 1000 }, (_, n) => n));
  const away = responses.map(({ node_status }) => node_status).filter((status) =>
    status?.state_change === 2
  );
  assertEquals(away.map((status) => status!.node_names), [["c"]]);
});

Deno.test("a relay follows all peers, a node that is gone and back too, and gives nothing twice", async () => {
  await using a = await hubblePlace();
  const b = await hubblePlace();
  const peers = new PeerList([
    { name: "a", address: { path: a.path } },
    { name: "b", address: { path: b.path } },
  ]);
  await using relay = await relayOf(peers);
  const stop = new AbortController();
  const stream = relay.ask<GetFlowsResponse>("GetFlows", { follow: true, number: 5 }, stop.signal);
  const next = async () => {
    const { value } = await stream.next();
    const { node_status: status } = value as GetFlowsResponse;
    return status ? `${status.node_names} ${status.state_change}` : portOf(value);
  };
  assertEquals([await next(), await next()].sort(), ["a 1", "b 1"]);
  // both streams follow when both have a flow
  let n = 0;
  for (const place of [a, b]) {
    place.see(at(++n));
  }
  const first = [await next(), await next()];
  assertEquals(first.toSorted(), [1, 2]);
  // node b dies, and flows of the other one come meanwhile
  await b[Symbol.asyncDispose]();
  assertEquals(await next(), "b 2");
  a.see(at(3));
  assertEquals(await next(), 3);
  stop.abort();
  await assertRejects(() => stream.next(), GrpcError);
});

Deno.test("a relay sums what its peers say of themselves", async () => {
  await using a = await hubblePlace();
  await using b = await hubblePlace();
  a.see(at(1), at(2));
  b.see(at(3));
  await using relay = await relayOf(
    new PeerList([
      { name: "a", address: { path: a.path } },
      { name: "b", address: { path: b.path } },
      { name: "c", address: { path: "/nobody" } },
    ]),
  );
  const [status] = await Array.fromAsync(
    relay.ask<Record<string, unknown>>("ServerStatus", {}),
  );
  const { num_flows, num_connected_nodes, num_unavailable_nodes, unavailable_nodes } = status!;
  assertEquals({ num_flows, num_connected_nodes, num_unavailable_nodes, unavailable_nodes }, {
    num_flows: 3,
    num_connected_nodes: { value: 2 },
    num_unavailable_nodes: { value: 1 },
    unavailable_nodes: ["c"],
  });
  const [list] = await Array.fromAsync(
    relay.ask<{ nodes: { name: string; state: number }[] }>("GetNodes", {}),
  );
  assertEquals(list!.nodes.map(({ name, state }) => `${name} ${state}`), ["a 1", "b 1", "c 2"]);
  const [spaces] = await Array.fromAsync(
    relay.ask<{ namespaces: { namespace: string }[] }>("GetNamespaces", {}),
  );
  assertEquals(spaces!.namespaces.map(({ namespace }) => namespace), ["default", "shop"]);
});

Deno.test("a relay refuses what its peers refuse", async () => {
  await using a = await hubblePlace();
  await using relay = await relayOf(new PeerList([{ name: "a", address: { path: a.path } }]));
  for (const follow of [false, true]) {
    const request: GetFlowsRequest = { follow, whitelist: [{ source_ip: ["10.0.0"] }] };
    await assertRejects(
      () => Array.fromAsync(relay.ask("GetFlows", request)),
      GrpcError,
      '"10.0.0" is no address and no prefix',
    );
  }
});

Deno.test("a relay that knows no node says so", async () => {
  await using relay = await relayOf(new PeerList());
  await assertRejects(
    () => Array.fromAsync(relay.ask("GetFlows", { number: 1 })),
    GrpcError,
    "the relay knows no node",
  );
});

Deno.test("PeerList.follow() knows the nodes that a peer service tells of, and those that go", async () => {
  let list = [
    { name: "default/a", address: "10.1.0.1:4244", serverName: "a.cluster" },
    { name: "default/b", address: "[fd00::1]:4244" },
    { name: "default/nowhere", address: "" },
  ];
  const watchers = new Set<() => void>();
  await using place = await hubblePlace({
    peers: {
      list: () => list,
      watch: (changed) => {
        watchers.add(changed);
        return { [Symbol.dispose]: () => void watchers.delete(changed) };
      },
    },
  });
  const peers = new PeerList();
  const stop = new AbortController();
  const connect = async () =>
    new GrpcClient(await Deno.connect({ transport: "unix", path: place.path }), {
      ...{ authority: "localhost", tls: false },
    });
  const following = peers.follow(connect, stop.signal, (error) => assert(false, error.message));
  const until = async (count: number) => {
    while (peers.list().length !== count) await new Promise((resolve) => setTimeout(resolve, 5));
  };
  await until(2);
  assertEquals(peers.list(), [
    {
      name: "default/a",
      address: { hostname: "10.1.0.1", port: 4244, tls: true },
      serverName: "a.cluster",
    },
    { name: "default/b", address: { hostname: "fd00::1", port: 4244, tls: false } },
  ]);
  list = list.slice(1);
  for (const changed of watchers) changed();
  await until(1);
  stop.abort();
  await following;
});
