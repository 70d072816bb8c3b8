/** Ways into and out of a pod that an attacker tried; see docs/security.md. */

import { assert, assertEquals } from "@std/assert";
import { DropReason, EventType } from "./maps/generated.ts";
import {
  DEVICE_IFINDEX,
  NODE,
  OTHER_POD,
  POD,
  REMOTE,
  type RunResult,
  type TestEntry,
  TestNode,
  type TestPod,
  VERDICT,
  WORLD,
} from "./testdata/node.ts";
import {
  echoFrame,
  frame,
  icmpFrame,
  ipPacket,
  PROTOCOL,
  TCP,
  tcpFrame,
  udpFrame,
  unreachableFrame,
} from "./testdata/packets.ts";

type Bytes = Uint8Array<ArrayBuffer>;
type Family = "ipv4" | "ipv6";

function both(name: string, test: (family: Family) => void): void {
  for (const family of ["ipv4", "ipv6"] as const) {
    Deno.test(`${name} (${family})`, () => test(family));
  }
}

/** The reason of the only drop since the last call; undefined: the packet went on. */
function dropped(node: TestNode, result: RunResult): number | undefined {
  const [drop] = node.takeEvents().filter(({ header }) => header.type === EventType.DROP);
  assertEquals(result.verdict === VERDICT.shot, drop !== undefined, "verdict and event disagree");
  return drop?.reason;
}

/** Allows what the entries say, and nothing else, in both directions of a pod. */
function isolate(node: TestNode, pod: TestPod, entries: TestEntry[] = []): void {
  node.setPolicy(pod.id, { INGRESS: { enforced: true }, EGRESS: { enforced: true }, entries });
  node.setEndpoint(pod, { policy: pod.id });
}

const MARKER = new TextEncoder().encode("marker marker marker");

both("an ICMP error goes to the sender of what it quotes, from who received that", (family) => {
  using node = new TestNode();
  const [a, b] = [POD[family], OTHER_POD[family]];
  const flow = (source: string, destination: string, sourcePort = 1000) =>
    udpFrame({ source, destination, sourcePort, destinationPort: 53, payload: MARKER });
  const error = (from: TestPod, destination: string, about: Bytes) =>
    node.fromPod(unreachableFrame({ source: from[family], destination, about }), from);
  node.fromPod(flow(a, b));
  isolate(node, OTHER_POD);
  node.takeEvents();
  assertEquals(dropped(node, error(OTHER_POD, a, flow(a, b))), undefined);
  for (
    const [title, from, destination, about] of [
      ["to somebody else", OTHER_POD, REMOTE[family], flow(a, b)],
      ["to the world", OTHER_POD, WORLD[family], flow(a, b)],
      ["about what others received", OTHER_POD, a, flow(a, REMOTE[family])],
      ["about what it sent itself", POD, b, flow(a, b)],
      ["about a flow that never was", OTHER_POD, a, flow(a, b, 1001)],
      [
        "about a flow of the world's with the node",
        OTHER_POD,
        WORLD[family],
        flow(WORLD[family], NODE[family]),
      ],
    ] as const
  ) {
    assertEquals(
      dropped(node, error(from, destination, about)),
      DropReason.FORGED_ICMP_ERROR,
      title,
    );
  }
});

both("a router's ICMP error passes, one with another's quote does not", (family) => {
  using node = new TestNode();
  const sent = udpFrame({
    source: POD[family],
    destination: REMOTE[family],
    sourcePort: 1000,
    destinationPort: 53,
  });
  node.fromPod(sent);
  isolate(node, POD);
  // the connection's next packet has been judged since
  const error = (destination: string, about: Bytes) =>
    node.run(
      "to_pod",
      unreachableFrame({ source: NODE[family], destination, about }),
      { ifindex: POD.ifindex },
    );
  assertEquals(dropped(node, error(POD[family], sent)), undefined);
  const others = udpFrame({
    source: OTHER_POD[family],
    destination: REMOTE[family],
    sourcePort: 1000,
    destinationPort: 53,
  });
  assertEquals(dropped(node, error(POD[family], others)), DropReason.FORGED_ICMP_ERROR);
});

both("a policy that has changed holds for ICMP errors too", (family) => {
  using node = new TestNode();
  const sent = udpFrame({
    source: POD[family],
    destination: OTHER_POD[family],
    sourcePort: 1000,
    destinationPort: 53,
  });
  const error = () =>
    node.fromPod(
      unreachableFrame({ source: OTHER_POD[family], destination: POD[family], about: sent }),
      OTHER_POD,
    );
  node.fromPod(sent);
  assertEquals(dropped(node, error()), undefined);
  isolate(node, POD);
  node.setEndpoint(POD, { policy: POD.id, revision: 2 });
  assertEquals(dropped(node, error()), DropReason.POLICY_DENIED_BY_DEFAULT);
});

Deno.test("neighbour discovery of a pod stays on its link", () => {
  using node = new TestNode();
  const advertise = (source: string, destination: string, ttl = 255, type = 136) =>
    node.fromPod(
      icmpFrame({ source, destination, type, ttl, rest: new Uint8Array(24) }),
    );
  assertEquals(dropped(node, advertise(POD.ipv6, "fe80::1")), undefined);
  const { FORWARDED, INVALID_SOURCE_IP, NEIGHBOUR_DISCOVERY_FROM_AFAR } = DropReason;
  assertEquals(dropped(node, advertise(POD.ipv6, "fe80::1", 64)), NEIGHBOUR_DISCOVERY_FROM_AFAR);
  assertEquals(dropped(node, advertise(OTHER_POD.ipv6, "fe80::1")), INVALID_SOURCE_IP);
  for (const type of [133, 134, 136, 137]) {
    for (const destination of [OTHER_POD.ipv6, REMOTE.ipv6, WORLD.ipv6, NODE.ipv6]) {
      assertEquals(advertise(POD.ipv6, destination, 255, type).verdict, VERDICT.shot);
    }
  }
  assertEquals(node.counted(FORWARDED), { ingress: 0, egress: 0 });
});

Deno.test("neighbour discovery reaches a pod from its node only", () => {
  using node = new TestNode();
  const made = (ttl: number, source = "fe80::1") =>
    icmpFrame({ source, destination: POD.ipv6, type: 136, ttl, rest: new Uint8Array(24) });
  const toPod = (frame: Bytes, ingressIfindex = 0) =>
    dropped(node, node.run("to_pod", frame, { ifindex: POD.ifindex, ingressIfindex }));
  const { NEIGHBOUR_DISCOVERY_FROM_AFAR } = DropReason;
  assertEquals(toPod(made(255)), undefined);
  assertEquals(toPod(made(64)), NEIGHBOUR_DISCOVERY_FROM_AFAR);
  assertEquals(toPod(made(255), DEVICE_IFINDEX), NEIGHBOUR_DISCOVERY_FROM_AFAR);
  const fromWire = node.run("from_netdev", made(255, WORLD.ipv6), { ifindex: DEVICE_IFINDEX });
  assertEquals(dropped(node, fromWire), NEIGHBOUR_DISCOVERY_FROM_AFAR);
});

Deno.test("more IPv6 extension headers than are followed are a drop, whatever hides behind", () => {
  using node = new TestNode();
  node.setPolicy(2, {
    entries: [{ direction: "INGRESS", protocol: 6, port: 8080, verdict: "DENY" }],
  });
  node.setEndpoint(OTHER_POD, { policy: 2 });
  const made = (options: number) => {
    const envelope = { source: POD.ipv6, destination: OTHER_POD.ipv6, options };
    return tcpFrame({ ...envelope, sourcePort: 1, destinationPort: 8080, flags: TCP.syn });
  };
  assertEquals(dropped(node, node.fromPod(made(5))), DropReason.POLICY_DENIED);
  for (const options of [6, 7, 20]) {
    assertEquals(dropped(node, node.fromPod(made(options))), DropReason.INVALID_EXTENSION_HEADER);
    const back = node.run("to_pod", made(options), { ifindex: OTHER_POD.ifindex });
    assertEquals(dropped(node, back), DropReason.INVALID_EXTENSION_HEADER);
  }
});

both("each type of ICMP is judged for itself", (family) => {
  using node = new TestNode();
  const echo = { source: POD[family], destination: OTHER_POD[family], id: 0 };
  isolate(node, OTHER_POD, [{
    direction: "INGRESS",
    protocol: PROTOCOL[family === "ipv4" ? "icmp" : "icmpv6"],
    port: family === "ipv4" ? 8 : 128,
  }]);
  assertEquals(dropped(node, node.fromPod(echoFrame(echo))), undefined);
  assertEquals(dropped(node, node.fromPod(echoFrame({ ...echo, reply: true }), POD)), undefined);
  for (let type = 0; type < 256; type++) {
    if (family === "ipv4" ? [0, 8].includes(type) : [128, 129].includes(type)) continue;
    if (family === "ipv6" && type >= 133 && type <= 137) continue;
    const made = icmpFrame({
      source: POD[family],
      destination: OTHER_POD[family],
      type,
      rest: new Uint8Array(68),
    });
    assert(node.fromPod(made).verdict === VERDICT.shot, `type ${type} passes`);
  }
});

both("a frame for another's MAC is left to the stack", (family) => {
  using node = new TestNode();
  const made = (destinationMac?: Uint8Array) =>
    tcpFrame({
      source: WORLD[family],
      destination: POD[family],
      sourcePort: 1,
      destinationPort: 2,
      flags: TCP.syn,
      ...(destinationMac ? { destinationMac } : {}),
    });
  const run = (frame: Bytes) => node.run("from_netdev", frame, { ifindex: DEVICE_IFINDEX }).verdict;
  assertEquals(run(made()), VERDICT.redirect);
  assertEquals(run(made(Uint8Array.of(2, 0, 0, 9, 9, 9))), VERDICT.unspec);
});

both("a pod sends no tagged frames", (family) => {
  using node = new TestNode();
  const packet = ipPacket(
    { source: POD[family], destination: WORLD[family] },
    PROTOCOL.udp,
    new Uint8Array(8),
  );
  const plain = frame({ source: POD[family], destination: WORLD[family] }, packet);
  const tagged = new Uint8Array(plain.length + 4);
  tagged.set(plain.subarray(0, 12));
  tagged.set([0x81, 0, 0, 100], 12);
  tagged.set(plain.subarray(12), 16);
  assertEquals(node.fromPod(tagged).verdict, VERDICT.shot);
});
