import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { AgentEvent, FlowType, type PacketFlow } from "../flows/flow.ts";
import { GrpcError, Status } from "../grpc/status.ts";
import type { GetFlowsRequest, GetFlowsResponse } from "./flow_message.ts";
import { messageType } from "./messages.ts";
import type { Peer } from "./peer_service.ts";
import { hubblePlace, packet, START } from "./testdata/hubble_place.ts";

/** A flow that is known by its source port. */
function numbered(n: number, changes: Partial<PacketFlow> = {}): PacketFlow {
  return packet({
    seconds: START + n,
    source: { ip: "10.0.0.1", identity: 1001, port: n },
    ...changes,
  });
}

function numbers(flows: readonly { l4?: { TCP?: { source_port?: number } } }[]): number[] {
  return flows.map(({ l4 }) => l4?.TCP?.source_port ?? 0);
}

Deno.test("GetFlows gives flows with all that is known of them, under the names of Hubble's API", async () => {
  await using place = await hubblePlace();
  place.see(packet({
    type: FlowType.DROP,
    reason: 133,
    cookie: 5,
    direction: 1,
    destination: { ip: "10.96.0.1", identity: 2, port: 80 },
  }));
  const [response] = await Array.fromAsync(place.responses({ number: 1 }));
  const type = messageType("observer.GetFlowsResponse");
  const named = type.toObject(type.fromObject(response!), { enums: String, longs: String });
  const { uuid } = named.flow;
  assertMatch(uuid, /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assertEquals(named, {
    node_name: "default/node-a",
    time: { seconds: String(START), nanos: 5 },
    flow: {
      uuid,
      time: { seconds: String(START), nanos: 5 },
      verdict: "DROPPED",
      drop_reason: 133,
      drop_reason_desc: "POLICY_DENIED",
      IP: { source: "10.0.0.1", destination: "10.96.0.1", ipVersion: "IPv4" },
      l4: { TCP: { source_port: 40_000, destination_port: 80, flags: { SYN: true } } },
      source: {
        ID: 7,
        identity: 1001,
        cluster_name: "default",
        namespace: "shop",
        labels: ["k8s:app=cart", "k8s:io.kubernetes.pod.namespace=shop"],
        pod_name: "cart-1",
      },
      destination: { identity: 2, labels: ["reserved:world"] },
      destination_service: { name: "cart", namespace: "shop" },
      Type: "L3_L4",
      node_name: "default/node-a",
      event_type: { type: 1, sub_type: 133 },
      traffic_direction: "EGRESS",
      interface: { index: 3, name: "lxc3" },
      Summary: "TCP Flags: SYN",
      egress_denied_by: [{ name: "only-cart", namespace: "shop", kind: "CiliumNetworkPolicy" }],
      policy_log: ["denied by CiliumNetworkPolicy shop/only-cart"],
    },
  });
  // the same flow has the same number each time
  assertEquals((await place.flows({ number: 1 }))[0]!.uuid, uuid);
});

const time = (n: number) => ({ seconds: START + n });

for (
  const [text, request, wanted] of [
    ["the last of them", { number: 3 }, [7, 8, 9]],
    ["all of them without a number", {}, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]],
    ["all of them with the number of --all", { number: 1.8e19 }, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]],
    ["the first of them", { number: 3, first: true }, [0, 1, 2]],
    ["those since a time", { since: time(8) }, [8, 9]],
    ["those since long ago", { since: time(-3600) }, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]],
    ["the first since a time", { since: time(4), number: 2 }, [4, 5]],
    ["those up to a time", { since: time(2), until: time(4) }, [2, 3, 4]],
    ["the last up to a time", { number: 2, until: time(4) }, [3, 4]],
    ["none of the future", { since: time(3600) }, []],
    [
      "the last that pass a filter",
      { number: 2, whitelist: [{ source_port: ["1", "2", "3"] }] },
      [2, 3],
    ],
  ] satisfies [string, GetFlowsRequest, number[]][]
) {
  Deno.test(`GetFlows gives ${text}, and ends`, async () => {
    await using place = await hubblePlace();
    for (let n = 0; n < 10; n++) place.see(numbered(n, n % 3 ? {} : { type: FlowType.VERDICT }));
    assertEquals(numbers(await place.flows(request)), wanted);
  });
}

Deno.test("GetFlows of what is less than asked for gives what there is: it is no error", async () => {
  await using place = await hubblePlace({ capacity: 4 });
  assertEquals(await place.flows({ number: 100 }), []);
  for (let n = 0; n < 10; n++) place.see(numbered(n));
  const responses = await Array.fromAsync(place.responses({ number: 100 }));
  assertEquals(responses.length, 4);
  assert(responses.every(({ lost_events }) => !lost_events));
});

Deno.test("GetFlows gives a drop while traces flood", async () => {
  await using place = await hubblePlace({ capacity: 64 });
  place.see(numbered(1, { type: FlowType.DROP, reason: 133 }));
  for (let n = 0; n < 10_000; n++) place.see(numbered(2));
  assertEquals(numbers(await place.flows({ whitelist: [{ verdict: [2] }], number: 5 })), [1]);
});

Deno.test("GetFlows that follows an empty ring waits, and goes on with what comes", async () => {
  await using place = await hubblePlace();
  const stop = new AbortController();
  const seen: number[] = [];
  const following = (async () => {
    for await (const { flow } of place.responses({ follow: true, number: 2 }, stop.signal)) {
      seen.push(...numbers([flow!]));
      if (seen.length === 3) stop.abort();
    }
  })();
  // some other call is answered meanwhile
  await Array.fromAsync(place.ask("/observer.Observer/ServerStatus", {}));
  place.see(numbered(1), numbered(2), numbered(3));
  await following.catch((error) => assertEquals((error as GrpcError).code, Status.CANCELLED));
  assertEquals(seen, [1, 2, 3]);
});

Deno.test("GetFlows that follows up to a time ends although nothing comes", async () => {
  await using place = await hubblePlace();
  assertEquals(await place.flows({ follow: true, until: time(0) }), []);
});

Deno.test("GetFlows tells a client that is too slow how much it missed, once for each batch", async () => {
  await using place = await hubblePlace({ capacity: 64 });
  const stop = new AbortController();
  const stream = place.responses({ follow: true }, stop.signal);
  const first = stream.next();
  await Array.fromAsync(place.ask("/observer.Observer/ServerStatus", {}));
  place.see(numbered(1));
  assertEquals((await first).value.flow !== undefined, true);
  for (let n = 0; n < 1000; n++) place.see(numbered(n));
  let flows = 0, lost = 0, told = 0;
  for await (const response of stream) {
    if (response.lost_events) {
      assertEquals(response.lost_events.source, 3);
      lost += response.lost_events.num_events_lost;
      told++;
    } else flows++;
    if (flows + lost === 1000) break;
  }
  assertEquals([flows + lost, told], [1000, 1]);
});

Deno.test("GetFlows tells who follows of events that the programs had no room for, and no filter hides it", async () => {
  await using place = await hubblePlace();
  const lose = (count: number) =>
    place.ring.push({
      kind: "agent",
      type: FlowType.AGENT,
      seconds: START,
      nanoseconds: 0,
      node: "node-a",
      event: AgentEvent.EVENTS_LOST,
      text: "",
      count,
    });
  place.see(numbered(1));
  lose(5);
  // it is no flow of those that are asked for
  assertEquals(numbers(await place.flows({ number: 1 })), [1]);
  const stop = new AbortController();
  const request = { follow: true, whitelist: [{ source_port: ["9"] }] };
  const next = place.responses(request, stop.signal).next();
  await Array.fromAsync(place.ask("/observer.Observer/ServerStatus", {}));
  lose(6);
  assertEquals((await next).value.lost_events, { source: 1, num_events_lost: 6 });
  stop.abort();
});

Deno.test("GetFlows gives the fields of a mask alone", async () => {
  await using place = await hubblePlace();
  place.see(packet());
  const paths = ["verdict", "source.pod_name", "l4.TCP.destination_port", "source.namespace"];
  for (const request of [{ field_mask: { paths } }, { experimental: { field_mask: { paths } } }]) {
    assertEquals(await place.flows({ number: 1, ...request }), [{
      verdict: 1,
      source: { pod_name: "cart-1", namespace: "shop" },
      l4: { TCP: { destination_port: 5432 } },
    }]);
  }
});

for (
  const [request, message] of [
    [{ first: true, follow: true }, "first and follow exclude each other"],
    [{ field_mask: { paths: ["verdict.x"] } }, "a flow has no field verdict.x"],
    [{ field_mask: { paths: ["nothing"] } }, "a flow has no field nothing"],
    [{ whitelist: [{ source_ip: ["10.0.0"] }] }, '"10.0.0" is no address and no prefix'],
    [{ blacklist: [{ protocol: ["tpc"] }] }, '"tpc" is no protocol of'],
    [{ whitelist: [{ source_label: ["a in b"] }] }, '"a in b" is no selector of labels'],
    [{ whitelist: [{ destination_port: ["http"] }] }, '"http" is no port'],
    [{ whitelist: [{ http_status_code: ["6+"] }] }, '"6+" is no HTTP status'],
    [{ whitelist: [{ dns_query: ["("] }] }, '"(" is no regular expression'],
    [{ whitelist: [{ node_name: ["a/b/c"] }] }, '"a/b/c" names no node'],
    [{ whitelist: [{ source_fqdn: ["a b"] }] }, '"a b" is no pattern of a name'],
    [{ whitelist: [{ source_pod: [""] }] }, "a name must not be empty"],
    [
      { whitelist: [{ experimental: { cel_expression: ["true"] } }] },
      "expressions of CEL are not supported",
    ],
  ] satisfies [GetFlowsRequest, string][]
) {
  Deno.test(`GetFlows refuses ${JSON.stringify(request)}`, async () => {
    await using place = await hubblePlace();
    const error = await assertRejects(() => place.flows(request), GrpcError, message);
    assertEquals(error.code, Status.INVALID_ARGUMENT);
  });
}

Deno.test("requests that are no messages are refused", async () => {
  await using place = await hubblePlace();
  const call = place.client.call("/observer.Observer/GetFlows", Uint8Array.of(0x2a, 0xff, 0x01));
  const error = await assertRejects(() => Array.fromAsync(call), GrpcError, "no GetFlowsRequest");
  assertEquals(error.code, Status.INVALID_ARGUMENT);
});

Deno.test("ServerStatus and GetNodes say how much is kept, may be kept and was seen", async () => {
  await using place = await hubblePlace({ capacity: 4 });
  for (let n = 0; n < 10; n++) place.see(numbered(n));
  place.see(numbered(10, { type: FlowType.DROP }));
  const [status] = await Array.fromAsync(
    place.ask<Record<string, unknown>>("/observer.Observer/ServerStatus", {}),
  );
  const { num_flows, max_flows, seen_flows, version } = status!;
  assertEquals(
    { num_flows, max_flows, seen_flows, version },
    { num_flows: 5, max_flows: 12, seen_flows: 11, version: "pilus test" },
  );
  const [{ nodes }] = await Array.fromAsync(
    place.ask<{ nodes: Record<string, unknown>[] }>("/observer.Observer/GetNodes", {}),
  ) as [{ nodes: Record<string, unknown>[] }];
  assertEquals(nodes.map(({ name, state, seen_flows }) => ({ name, state, seen_flows })), [
    { name: "default/node-a", state: 1, seen_flows: 11 },
  ]);
});

Deno.test("GetNamespaces, GetDebugEvents and health checks are answered", async () => {
  await using place = await hubblePlace();
  assertEquals(await Array.fromAsync(place.ask("/observer.Observer/GetNamespaces", {})), [{
    namespaces: [
      { cluster: "default", namespace: "default" },
      { cluster: "default", namespace: "shop" },
    ],
  }]);
  assertEquals(await Array.fromAsync(place.ask("/observer.Observer/GetDebugEvents", {})), []);
  for (const service of ["", "observer.Observer"]) {
    assertEquals(await Array.fromAsync(place.ask("/grpc.health.v1.Health/Check", { service })), [
      { status: 1 },
    ]);
  }
  await assertRejects(
    () => Array.fromAsync(place.ask("/grpc.health.v1.Health/Check", { service: "x" })),
    GrpcError,
    "no such service",
  );
});

Deno.test("GetAgentEvents gives endpoints that came and went", async () => {
  await using place = await hubblePlace();
  const base = { kind: "agent", type: FlowType.AGENT, seconds: START, nanoseconds: 0 } as const;
  const endpoint = { id: 7, namespace: "shop", pod: "cart-1" };
  for (const event of [AgentEvent.ENDPOINT_CREATED, AgentEvent.ENDPOINT_DELETED]) {
    place.ring.push({ ...base, node: "node-a", event, text: "", endpoint });
  }
  const events = await Array.fromAsync(
    place.ask<{ agent_event: object }>("/observer.Observer/GetAgentEvents", { number: 5 }),
  );
  const update = { id: 7, namespace: "shop", pod_name: "cart-1" };
  assertEquals(events.map(({ agent_event }) => agent_event), [
    { type: 7, endpoint_update: update },
    { type: 8, endpoint_update: update },
  ]);
});

Deno.test("Notify tells of the peers that there are, and of each change", async () => {
  let list: Peer[] = [{ name: "default/a", address: "10.1.0.1:4244" }];
  const watchers = new Set<() => void>();
  const peers = {
    list: () => list,
    watch: (changed: () => void) => {
      watchers.add(changed);
      return { [Symbol.dispose]: () => void watchers.delete(changed) };
    },
  };
  const set = (next: Peer[]) => {
    list = next;
    for (const changed of watchers) changed();
  };
  await using place = await hubblePlace({ peers });
  const stream = place.ask<object>("/peer.Peer/Notify", {});
  assertEquals((await stream.next()).value, {
    name: "default/a",
    address: "10.1.0.1:4244",
    type: 1,
  });
  set([{ name: "default/a", address: "10.1.0.2:4244", serverName: "a.default" }]);
  assertEquals((await stream.next()).value, {
    name: "default/a",
    address: "10.1.0.2:4244",
    type: 3,
    tls: { server_name: "a.default" },
  });
  set([{ name: "default/b", address: "[fd00::1]:4244" }]);
  const changes = [(await stream.next()).value, (await stream.next()).value];
  assertEquals(changes.map((change) => (change as { type: number }).type), [1, 2]);
  await stream.return(undefined);
  while (watchers.size > 0) await new Promise((resolve) => setTimeout(resolve, 5));
});

Deno.test("a response's flow has the field numbers of Hubble's API", async () => {
  await using place = await hubblePlace();
  place.see(packet());
  const [response] = await Array.fromAsync(place.responses({ number: 1 })) as [GetFlowsResponse];
  const { fields } = messageType("flow.Flow");
  assertEquals(
    Object.keys(response.flow!).map((name) => [name, fields[name]!.id]).sort(),
    [
      ["IP", 5],
      ["Summary", 100_000],
      ["Type", 10],
      ["destination", 9],
      ["event_type", 19],
      ["interface", 28],
      ["is_reply", 26],
      ["l4", 6],
      ["node_name", 11],
      ["source", 8],
      ["time", 1],
      ["trace_observation_point", 24],
      ["trace_reason", 36],
      ["traffic_direction", 22],
      ["uuid", 34],
      ["verdict", 2],
    ],
  );
});
