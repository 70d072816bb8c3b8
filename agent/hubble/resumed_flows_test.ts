import { assertEquals, assertRejects } from "@std/assert";
import { GrpcClient } from "../grpc/grpc_client.ts";
import { type GrpcMethod, GrpcServer } from "../grpc/grpc_server.ts";
import type { GetFlowsRequest } from "./flow_message.ts";
import { decode, encode } from "./messages.ts";
import { resumedFlows } from "./resumed_flows.ts";

Deno.test("resumedFlows() goes on where it was when a stream that follows breaks, and gives nothing twice", async () => {
  const at = (n: number, uuid: string) => ({
    flow: { uuid, time: { seconds: n } },
    time: { seconds: n },
    node_name: "n",
  });
  const requests: GetFlowsRequest[] = [];
  const answers = [
    [at(1, "a"), at(2, "b"), at(2, "c")],
    [at(2, "b"), at(2, "c"), at(2, "d"), at(3, "e")],
  ];
  const method: GrpcMethod = async function* (bytes, { signal }) {
    requests.push(decode("observer.GetFlowsRequest", bytes));
    yield answers[requests.length - 1]!.map((one) => encode("observer.GetFlowsResponse", one));
    if (requests.length === 1) void servers[0]!.server[Symbol.asyncDispose]();
    else await new Promise((resolve) => signal.addEventListener("abort", resolve));
  };
  const servers = [0, 1].map(() => {
    const server = new GrpcServer({
      methods: { "/observer.Observer/GetFlows": method },
      onError: () => {},
    });
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    server.listen(listener);
    return { server, port: listener.addr.port };
  });
  let attempts = 0;
  const connect = async () => {
    const { port } = servers[Math.min(attempts++, 1)]!;
    const connection = await Deno.connect({ hostname: "127.0.0.1", port });
    return new GrpcClient(connection, { authority: "localhost", tls: false });
  };
  const told: string[] = [], seen: string[] = [];
  const request = { follow: true, number: 3 };
  const stream = resumedFlows({
    ...{ connect, request, signal: new AbortController().signal },
    onAway: () => told.push("away"),
    onBack: () => told.push("back"),
  });
  for await (const { response: { flow } } of stream) {
    seen.push(flow!.uuid!);
    if (seen.length === 5) break;
  }
  assertEquals(seen, ["a", "b", "c", "d", "e"]);
  assertEquals(requests, [request, { follow: true, since: { seconds: 2, nanos: 0 } }]);
  assertEquals(told, ["back", "away", "back"]);
  await servers[1]!.server[Symbol.asyncDispose]();
});

Deno.test("resumedFlows() does not go on when there was no server in the first place", async () => {
  const options = {
    connect: () => Promise.reject(new Error("nobody")),
    request: { follow: true },
    signal: new AbortController().signal,
    onAway: () => {},
  };
  await assertRejects(() => Array.fromAsync(resumedFlows(options)), Error, "nobody");
});
