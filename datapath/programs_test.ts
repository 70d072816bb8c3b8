import { assert, assertEquals } from "@std/assert";
import { evaluate } from "../agent/node/policy/evaluate.ts";
import type { PolicyEntry, ResolvedPolicy } from "../agent/node/policy/resolve.ts";
import { temporaryBpffs, temporaryVeth } from "./bpf/testdata/lab.ts";
import { monotonicNs } from "./bpf/ffi/libc.ts";
import { Loader } from "./loader.ts";
import { CtFlags, DropReason, EventType, ObservationPoint, TraceLevel } from "./maps/generated.ts";
import { formatIp, parseCidr, parseIp } from "./net/ip.ts";
import { addAddress } from "./net/address.ts";
import { replaceNeighbour } from "./net/neighbour.ts";
import { replaceRoute } from "./net/route.ts";
import {
  DEVICE_IFINDEX,
  EMPTY_SERVICE_PORT,
  MARK,
  NODE,
  OTHER_NODE,
  OTHER_POD,
  POD,
  PREFIX,
  REMOTE,
  type RunResult,
  SERVICE,
  TestNode,
  type TestPod,
  TUNNEL_IFINDEX,
  VERDICT,
  WORLD,
} from "./testdata/node.ts";
import {
  arpFrame,
  echoFrame,
  ETHERNET_HEADER,
  frame,
  icmpFrame,
  ipPacket,
  PROTOCOL,
  readFrame,
  solicitationFrame,
  TCP,
  tcpFrame,
  udpFrame,
  unreachableFrame,
} from "./testdata/packets.ts";
import { generator } from "./testdata/random.ts";
import { Trampoline } from "./testdata/trampoline.ts";
import { both, FAMILIES, type Family } from "./testdata/families.ts";

/** The one event of a run. */
function onlyEvent(node: TestNode) {
  const events = node.takeEvents();
  assertEquals(events.length, 1, `${events.length} events`);
  return events[0]!;
}

/** Asserts a drop with its reason, its metric and its event. */
function assertDropped(
  node: TestNode,
  result: RunResult,
  reason: number,
  direction: "ingress" | "egress" = "egress",
) {
  const e = node.takeEvents().find((e) => e.header.type === EventType.DROP);
  assertEquals(e?.reason, reason);
  assertEquals(result.verdict, VERDICT.shot);
  assert(node.counted(reason)[direction] > 0, "the drop is not counted");
  return e!;
}

function tcp(
  family: Family,
  from: TestPod,
  to: Record<Family, string>,
  flags: number,
  { sourcePort = 40000, destinationPort = 8080 } = {},
) {
  return tcpFrame({
    source: from[family],
    destination: to[family],
    sourcePort,
    destinationPort,
    flags,
    sourceMac: from.mac,
    destinationMac: from.hostMac,
  });
}

Deno.test("the programs load and attach to a device", async () => {
  using bpffs = temporaryBpffs();
  using veth = temporaryVeth();
  const path = `${bpffs.path}/pilus`;
  using loader = await Loader.load({
    bpffs: path,
    routing: "vxlan",
    masquerade: true,
    tunnelIfindex: veth.ifindex,
    tunnelPort: 8472,
  });
  for (const kind of ["pod", "host", "overlay"] as const) {
    loader.attachDevice(kind, veth.ifindex, kind);
    loader.detachDevice(veth.ifindex, kind);
  }
  Loader.removeAll(path);
});

Deno.test("from_pod answers ARP for every address but the pod's own", () => {
  using node = new TestNode();
  const request = (target: string) =>
    arpFrame({ operation: 1, senderMac: POD.mac, sender: POD.ipv4, target });
  const { verdict, frame } = node.fromPod(request("10.1.0.1"));
  assertEquals(verdict, VERDICT.redirect);
  assertEquals(frame.slice(0, 6), POD.mac);
  assertEquals(frame.slice(6, 12), POD.hostMac);
  assertEquals([...frame.slice(12, 22)], [8, 6, 0, 1, 8, 0, 6, 4, 0, 2]);
  assertEquals(frame.slice(22, 28), POD.hostMac);
  assertEquals(formatIp(frame.slice(28, 32)), "10.1.0.1");
  assertEquals(frame.slice(32, 38), POD.mac);
  assertEquals(formatIp(frame.slice(38, 42)), POD.ipv4);

  assertEquals(node.fromPod(request(POD.ipv4)).verdict, VERDICT.shot);
  assertEquals(node.counted(DropReason.IGNORED_MULTICAST).egress, 1);
  const answer = arpFrame({
    operation: 2,
    senderMac: POD.mac,
    sender: POD.ipv4,
    target: "10.1.0.1",
  });
  assertEquals(node.fromPod(answer).verdict, VERDICT.ok);
  assertEquals(node.takeEvents(), []);
  assertDropped(node, node.fromPod(answer.slice(0, 30)), DropReason.INVALID_PACKET);
});

Deno.test("from_pod answers neighbour solicitations, but not duplicate address detection", () => {
  using node = new TestNode();
  const ask = (source: string, target: string, linkLayer?: Uint8Array) =>
    node.fromPod(solicitationFrame({
      source,
      destination: "ff02::1:ff00:1",
      target,
      ...(linkLayer ? { linkLayer } : {}),
    }));
  for (const linkLayer of [undefined, POD.mac]) {
    const result = ask(POD.ipv6, "fd00:1::1", linkLayer);
    assertEquals(result.verdict, VERDICT.redirect);
    const answer = readFrame(result.frame);
    assertEquals(answer.source, "fd00:1::1");
    assertEquals(answer.destination, POD.ipv6);
    assertEquals(answer.ttl, 255);
    assertEquals(answer.destinationMac, POD.mac);
    assertEquals(answer.sourceMac, POD.hostMac);
    assertEquals(answer.icmpType, 136);
    assertEquals([...answer.payload.slice(4, 8)], [0xe0, 0, 0, 0]);
    assertEquals(answer.payload.slice(8, 24), parseIp("fd00:1::1"));
    assertEquals([...answer.payload.slice(24)], [2, 1, ...POD.hostMac]);
  }
  assertEquals(ask("::", POD.ipv6).verdict, VERDICT.shot);
  assertEquals(ask("::", "fe80::1").verdict, VERDICT.shot);
  assertEquals(ask(POD.ipv6, POD.ipv6).verdict, VERDICT.shot);
  assertEquals(node.counted(DropReason.IGNORED_MULTICAST).egress, 3);
  assertEquals(node.takeEvents(), []);
});

both("from_pod drops what comes from an address or a device that is not a pod's", (family) => {
  using node = new TestNode();
  const spoofed = tcp(family, { ...POD, [family]: WORLD[family] }, OTHER_POD, TCP.syn);
  const e = assertDropped(node, node.fromPod(spoofed), DropReason.INVALID_SOURCE_IP);
  assertEquals(e.endpoint, POD.id);
  assertEquals(e.sourceIdentity, POD.identity);
  assertEquals(e.point, ObservationPoint.FROM_ENDPOINT);
  assertEquals(formatIp(e.source), WORLD[family]);
  assertEquals(e.length, spoofed.length);

  const frame = tcp(family, POD, OTHER_POD, TCP.syn);
  const stranger = node.run("from_pod", frame, { ifindex: DEVICE_IFINDEX });
  assertDropped(node, stranger, DropReason.NO_ENDPOINT);
});

Deno.test("from_pod drops what is not IP, and ignores multicast and link-local chatter", () => {
  using node = new TestNode();
  const frame = udpFrame({
    source: POD.ipv4,
    destination: "224.0.0.251",
    sourcePort: 5353,
    destinationPort: 5353,
  });
  assertEquals(node.fromPod(frame).verdict, VERDICT.shot);
  assertEquals(node.takeEvents(), []);
  frame[12] = 0x88;
  assertDropped(node, node.fromPod(frame), DropReason.UNSUPPORTED_L3);
  const router = icmpFrame({
    source: "fe80::1",
    destination: "ff02::2",
    type: 133,
    rest: new Uint8Array(4),
    ttl: 255,
  });
  assertEquals(node.fromPod(router).verdict, VERDICT.shot);
  assertEquals(node.counted(DropReason.IGNORED_MULTICAST).egress, 2);
});

both("from_pod delivers into a pod of the node in one pass", (family) => {
  using node = new TestNode();
  const { verdict, frame, mark } = node.fromPod(tcp(family, POD, OTHER_POD, TCP.syn));
  assertEquals(verdict, VERDICT.redirect);
  assertEquals(mark, 0);
  const packet = readFrame(frame);
  assertEquals(packet.destinationMac, OTHER_POD.mac);
  assertEquals(packet.sourceMac, OTHER_POD.hostMac);
  assertEquals(packet.ttl, 64);
  assertEquals(node.counted(DropReason.FORWARDED), { ingress: 1, egress: 1 });
  assertEquals(node.takeEvents(), []);
});

/** How far the coarse clock may lag, ns: on an emulated machine more than a tick. */
const LAG = 1_000_000_000n;

both("conntrack has one row a connection, whoever has the smaller address", (family) => {
  // long enough for an emulated machine
  using node = new TestNode({ ct_tcp_closing_s: 1000 });
  for (const [client, server] of [[POD, OTHER_POD], [OTHER_POD, POD]] as const) {
    const there = (flags: number) => node.fromPod(tcp(family, client, server, flags), client);
    const back = (flags: number) =>
      node.fromPod(
        tcp(family, server, client, flags, { sourcePort: 8080, destinationPort: 40000 }),
        server,
      );
    const row = () => {
      assertEquals(node.maps.pilus_ct.count(), 1);
      return node.connection(6, [client[family], 40000], [server[family], 8080])!;
    };
    /** Asserts that the row lives for so long from what `send` sends. */
    const lives = (seconds: number, send: () => void) => {
      const lifetime = BigInt(seconds) * 1_000_000_000n, before = monotonicNs();
      send();
      const { expires } = row();
      assert(expires >= before - LAG + lifetime && expires <= monotonicNs() + lifetime);
    };
    const high = client === OTHER_POD ? CtFlags.INITIATOR_HIGH : 0;
    lives(60, () => there(TCP.syn));
    assertEquals(row().flags, high);
    assertEquals(row().packets, [1n, 0n]);
    assertEquals([...row().tcpFlags], [TCP.syn, 0]);
    assertEquals(row().initiatorIdentity, client.identity);
    assertEquals(row().responderIdentity, server.identity);
    assertEquals([row().initiatorRevision, row().responderRevision], [1, 1]);
    lives(8000, () => back(TCP.syn | TCP.ack));
    assertEquals(row().flags, high | CtFlags.REPLIED);
    assertEquals(row().packets, [1n, 1n]);
    there(TCP.ack);
    there(TCP.fin | TCP.ack);
    assertEquals(row().flags, high | CtFlags.REPLIED);
    lives(1000, () => back(TCP.fin | TCP.ack));
    assertEquals(row().flags, high | CtFlags.REPLIED | CtFlags.CLOSING);
    there(TCP.ack);
    assertEquals(row().packets, [4n, 2n]);
    // the same ports again: a new connection
    there(TCP.syn);
    assertEquals(row().packets, [1n, 0n]);
    back(TCP.rst);
    assertEquals(row().flags, high | CtFlags.REPLIED | CtFlags.CLOSING);
    node.maps.pilus_ct.clear();
  }
});

both("a connection that has run out is judged as a new one", (family) => {
  using node = new TestNode({ ct_other_s: 0 });
  const there = udpFrame({
    source: POD[family],
    destination: OTHER_POD[family],
    sourcePort: 1,
    destinationPort: 53,
  });
  const back = udpFrame({
    source: OTHER_POD[family],
    destination: POD[family],
    sourcePort: 53,
    destinationPort: 1,
  });
  node.setPolicy(2, { INGRESS: { enforced: true } });
  node.setEndpoint(POD, { policy: 2 });
  assertEquals(node.fromPod(there).verdict, VERDICT.redirect);
  const until = performance.now() + 20;
  while (performance.now() < until); // a tick of the coarse clock
  const result = node.fromPod(back, OTHER_POD);
  assertDropped(node, result, DropReason.POLICY_DENIED_BY_DEFAULT);
});

both(
  "a reply needs no rule, and a policy change cuts what it forbids until it is undone",
  (family) => {
    using node = new TestNode();
    const there = () => node.fromPod(tcp(family, POD, OTHER_POD, TCP.ack));
    const back = () =>
      node.fromPod(
        tcp(family, OTHER_POD, POD, TCP.ack, { sourcePort: 8080, destinationPort: 40000 }),
        OTHER_POD,
      );
    // nobody may begin a connection to POD
    node.setPolicy(2, { INGRESS: { enforced: true, defaultCookie: 22 } });
    node.setEndpoint(POD, { policy: 2 });
    assertEquals(node.fromPod(tcp(family, POD, OTHER_POD, TCP.syn)).verdict, VERDICT.redirect);
    assertEquals(there().verdict, VERDICT.redirect);
    assertEquals(back().verdict, VERDICT.redirect);

    node.setPolicy(3, { INGRESS: { enforced: true, defaultCookie: 33 } });
    node.setEndpoint(OTHER_POD, { policy: 3, revision: 2 });
    for (const send of [there, back]) {
      const e = assertDropped(node, send(), DropReason.POLICY_DENIED_BY_DEFAULT);
      assertEquals([e.cookie, e.endpoint, e.direction], [33, OTHER_POD.id, 0]);
    }
    node.setEndpoint(OTHER_POD, { policy: 1, revision: 3 });
    assertEquals(back().verdict, VERDICT.redirect);
    assertEquals(there().verdict, VERDICT.redirect);
    const row = node.connection(6, [POD[family], 40000], [OTHER_POD[family], 8080])!;
    assertEquals([row.initiatorRevision, row.responderRevision], [1, 3]);
    assertEquals(row.initiatorIdentity, POD.identity);
  },
);

both(
  "a TCP connection whose beginning was not seen goes on where either end may begin it",
  (family) => {
    using node = new TestNode();
    let sourcePort = 41000;
    /** The first packet that is seen, of POD or of the answer to it. */
    const seen = (flags: number, answer: boolean) => {
      const ports = { sourcePort: sourcePort++, destinationPort: 8080 };
      const swapped = { sourcePort: ports.destinationPort, destinationPort: ports.sourcePort };
      return answer
        ? node.fromPod(tcp(family, OTHER_POD, POD, flags, swapped), OTHER_POD)
        : node.fromPod(tcp(family, POD, OTHER_POD, flags, ports));
    };
    for (const answer of [false, true]) {
      assertEquals(seen(TCP.ack, answer).verdict, VERDICT.redirect);
    }
    // the answer alone would be allowed, and POD's packets as answers to it
    for (const side of ["INGRESS", "EGRESS"] as const) {
      node.setPolicy(2, { [side]: { enforced: true, defaultCookie: 22 } });
      node.setEndpoint(OTHER_POD, { policy: side === "INGRESS" ? 2 : 1 });
      node.setEndpoint(POD, { policy: side === "EGRESS" ? 2 : 1 });
      for (const flags of [TCP.ack, TCP.syn | TCP.ack]) {
        for (const answer of [false, true]) {
          assertDropped(node, seen(flags, answer), DropReason.POLICY_DENIED_BY_DEFAULT);
        }
      }
      assertEquals(seen(TCP.syn, true).verdict, VERDICT.redirect);
    }
  },
);

both("an endpoint whose policy is not computed yet neither sends nor receives", (family) => {
  using node = new TestNode();
  node.setEndpoint(OTHER_POD, { policy: 0 });
  const frame = tcp(family, POD, OTHER_POD, TCP.syn);
  assertDropped(node, node.fromPod(frame), DropReason.ENDPOINT_NOT_READY);
  node.setEndpoint(POD, { policy: 7 });
  assertDropped(node, node.fromPod(frame), DropReason.ENDPOINT_NOT_READY);
});

both("policy: default denial, exact and any identity, port prefix, any protocol", (family) => {
  using node = new TestNode();
  let number = 10, port = 30000;
  const attempt = (
    entries: Parameters<TestNode["setPolicy"]>[1] & object,
    destinationPort = 8080,
  ) => {
    node.setPolicy(++number, entries);
    node.setEndpoint(OTHER_POD, { policy: number });
    const frame = tcp(family, POD, OTHER_POD, TCP.syn, { sourcePort: port++, destinationPort });
    const result = node.fromPod(frame);
    const e = node.takeEvents()[0];
    return result.verdict === VERDICT.redirect ? "allowed" : [e?.reason, e?.cookie];
  };
  const INGRESS = { enforced: true, defaultCookie: 5 };
  const direction = "INGRESS";
  const byDefault = [DropReason.POLICY_DENIED_BY_DEFAULT, 5];
  assertEquals(attempt({ INGRESS }), byDefault);
  const rule = { direction, protocol: 6, port: 8080 } as const;
  const identity = POD.identity;
  assertEquals(attempt({ INGRESS, entries: [{ ...rule, identity }] }), "allowed");
  assertEquals(attempt({ INGRESS, entries: [{ ...rule, identity: 999 }] }), byDefault);
  assertEquals(attempt({ INGRESS, entries: [rule] }), "allowed");
  assertEquals(attempt({ INGRESS, entries: [{ ...rule, protocol: 17 }] }), byDefault);
  assertEquals(attempt({ INGRESS, entries: [{ ...rule, direction: "EGRESS" }] }), byDefault);
  assertEquals(attempt({ INGRESS, entries: [rule] }, 8081), byDefault);
  const range = { ...rule, port: 8064, prefixLength: 10 };
  assertEquals(attempt({ INGRESS, entries: [range] }, 8127), "allowed");
  assertEquals(attempt({ INGRESS, entries: [range] }, 8128), byDefault);
  assertEquals(attempt({ INGRESS, entries: [{ direction, identity }] }), "allowed");
  const deny = { ...rule, verdict: "DENY", precedence: 2, cookie: 77 } as const;
  assertEquals(attempt({ INGRESS, entries: [{ direction }, deny] }), [
    DropReason.POLICY_DENIED,
    77,
  ]);
  assertEquals(attempt({ entries: [deny] }), [DropReason.POLICY_DENIED, 77]);
});

Deno.test("policies in the kernel agree with the agent's evaluate()", () => {
  using node = new TestNode();
  const random = generator(20260101);
  const pick = <T>(values: readonly T[]): T => values[random(values.length)]!;
  const peers = {
    ipv4: [OTHER_POD.ipv4, REMOTE.ipv4, WORLD.ipv4, PREFIX.ipv4, OTHER_NODE.ipv4],
    ipv6: [OTHER_POD.ipv6, REMOTE.ipv6, WORLD.ipv6, PREFIX.ipv6, OTHER_NODE.ipv6],
  };
  const identities = {
    ipv4: [OTHER_POD.identity, REMOTE.identity, 9, PREFIX.identity, 6],
    ipv6: [OTHER_POD.identity, REMOTE.identity, 10, PREFIX.identity, 6],
  };
  const known = [0, ...identities.ipv4, 10];
  const POLICIES = 250, QUERIES = 24;
  let allowed = 0;
  for (let i = 0; i < POLICIES; i++) {
    const keys = new Set<string>();
    const entries: PolicyEntry[] = [];
    for (let n = random(14); n > 0; n--) {
      const protocol = pick([0, 6, 6, 17, 1, 58]);
      const prefixLength = protocol === 0 ? 0 : pick([0, 0, 8, 13, 15, 16, 16, random(17)]);
      const mask = (0xffff << (16 - prefixLength)) & 0xffff;
      const entry: PolicyEntry = {
        direction: pick(["ingress", "egress", "egress"]),
        identity: pick(known),
        protocol,
        port: pick([80, 81, 128, 8, random(65536)]) & mask,
        prefixLength,
        verdict: pick(["allow", "deny"]),
        precedence: 1 + random(3),
        cookie: 1 + random(1 << 30),
      };
      const key = JSON.stringify({ ...entry, verdict: 0, precedence: 0, cookie: 0 });
      if (!keys.has(key)) entries.push(entry);
      keys.add(key);
    }
    const side = () => ({ enforced: random(2) === 1, defaultCookie: random(1000) });
    const policy: ResolvedPolicy = { ingress: side(), egress: side(), entries };
    const number = 100 + i;
    node.setPolicy(number, {
      INGRESS: policy.ingress,
      EGRESS: policy.egress,
      entries: entries.map((e) => ({
        ...e,
        direction: e.direction === "ingress" ? "INGRESS" : "EGRESS",
        verdict: e.verdict === "allow" ? "ALLOW" : "DENY",
      })),
    });
    node.setEndpoint(POD, { policy: number });
    for (let q = 0; q < QUERIES; q++) {
      const family = pick(FAMILIES);
      const peer = random(5);
      const ports = {
        sourcePort: random(65536),
        destinationPort: pick([80, 81, 128, 8, random(65536)]),
      };
      // what a pod receives is judged too, from the one pod beside it
      const inward = random(3) === 0;
      const source = inward ? OTHER_POD : POD;
      const destination = inward ? POD[family] : peers[family][peer]!;
      const envelope = { source: source[family], destination };
      const kind = pick(["tcp", "udp", "echo"] as const);
      const made = kind === "tcp"
        ? tcpFrame({ ...envelope, ...ports, flags: TCP.syn })
        : kind === "udp"
        ? udpFrame({ ...envelope, ...ports })
        : echoFrame({ ...envelope, id: ports.sourcePort });
      const echo = family === "ipv4" ? [1, 8] : [58, 128];
      const expected = evaluate(policy, {
        identity: inward ? OTHER_POD.identity : identities[family][peer]!,
        direction: inward ? "ingress" : "egress",
        protocol: kind === "tcp" ? 6 : kind === "udp" ? 17 : echo[0]!,
        port: kind === "echo" ? echo[1]! : ports.destinationPort,
      });
      const { verdict } = node.fromPod(made, source);
      const e = node.takeEvents()[0];
      const got = verdict === VERDICT.shot ? "deny" : "allow";
      assertEquals(got, expected.verdict, JSON.stringify({ policy, kind, family, peer, ports }));
      if (got === "allow") allowed++;
      else {
        assertEquals(e?.cookie, expected.cookie);
        const { POLICY_DENIED, POLICY_DENIED_BY_DEFAULT } = DropReason;
        assertEquals(e?.reason, expected.entry ? POLICY_DENIED : POLICY_DENIED_BY_DEFAULT);
      }
      node.maps.pilus_ct.clear();
    }
  }
  const share = allowed / (POLICIES * QUERIES);
  assert(share > 0.2 && share < 0.8, `the queries are one-sided: ${share} allowed`);
});

both("an echo and its reply are one connection, judged by the request's type", (family) => {
  using node = new TestNode();
  const [protocol, request] = family === "ipv4" ? [1, 8] : [58, 128];
  node.setPolicy(2, {
    INGRESS: { enforced: true },
    entries: [{ direction: "INGRESS", protocol, port: request }],
  });
  node.setPolicy(3, { INGRESS: { enforced: true } });
  node.setEndpoint(POD, { policy: 3 });
  node.setEndpoint(OTHER_POD, { policy: 2 });
  const ping = { source: POD[family], destination: OTHER_POD[family], id: 77 };
  const pong = { source: OTHER_POD[family], destination: POD[family], id: 77, reply: true };
  assertEquals(node.fromPod(echoFrame(ping)).verdict, VERDICT.redirect);
  assertEquals(node.fromPod(echoFrame(pong), OTHER_POD).verdict, VERDICT.redirect);
  const row = node.connection(protocol, [POD[family], 77], [OTHER_POD[family], 77])!;
  assertEquals(row.packets, [1n, 1n]);
  const unasked = node.fromPod(echoFrame({ ...pong, id: 78 }), OTHER_POD);
  assertDropped(node, unasked, DropReason.POLICY_DENIED_BY_DEFAULT);
});

both("an ICMP error passes with the connection that it is about, and only then", (family) => {
  using node = new TestNode();
  node.setPolicy(2, { INGRESS: { enforced: true } });
  node.setEndpoint(POD, { policy: 2 });
  const datagram = (sourcePort: number) =>
    udpFrame({
      source: POD[family],
      destination: OTHER_POD[family],
      sourcePort,
      destinationPort: 53,
    });
  const error = (about: Uint8Array<ArrayBuffer>) =>
    node.fromPod(
      unreachableFrame({ source: OTHER_POD[family], destination: POD[family], about }),
      OTHER_POD,
    );
  node.fromPod(datagram(1000));
  assertEquals(error(datagram(1000)).verdict, VERDICT.redirect);
  assertDropped(node, error(datagram(1001)), DropReason.FORGED_ICMP_ERROR);
  const ping = { source: POD[family], destination: OTHER_POD[family], id: 5 };
  node.fromPod(echoFrame(ping));
  assertEquals(error(echoFrame(ping)).verdict, VERDICT.redirect);
  const withOptions = { ...ping, options: 2, id: 6 };
  node.fromPod(echoFrame(withOptions));
  assertEquals(error(echoFrame(withOptions)).verdict, VERDICT.redirect);
});

both("headers behind options and extensions are found", (family) => {
  using node = new TestNode();
  const options = family === "ipv4" ? 10 : 4;
  const made = tcpFrame({
    source: POD[family],
    destination: OTHER_POD[family],
    sourcePort: 1,
    destinationPort: 2,
    flags: TCP.syn,
    options,
  });
  assertEquals(node.fromPod(made).verdict, VERDICT.redirect);
  assert(node.connection(6, [POD[family], 1], [OTHER_POD[family], 2]));
  const short = node.fromPod(made.slice(0, -4));
  assertDropped(node, short, DropReason.CT_INVALID_HEADER);
});

both("parts of a datagram follow the first one, and are dropped without it", (family) => {
  using node = new TestNode();
  const envelope = { source: POD[family], destination: OTHER_POD[family] };
  const whole = udpFrame({
    ...envelope,
    sourcePort: 9,
    destinationPort: 10,
    payload: new Uint8Array(64),
  });
  const datagram = whole.slice(ETHERNET_HEADER + (family === "ipv4" ? 20 : 40));
  const part = (id: number, offset: number) => {
    const fragment = { id, offset, more: offset === 0 };
    const payload = offset === 0 ? datagram.slice(0, 32) : datagram.slice(32);
    return node.fromPod(
      frame(envelope, ipPacket({ ...envelope, fragment }, PROTOCOL.udp, payload)),
    );
  };
  assertEquals(part(1, 0).verdict, VERDICT.redirect);
  assertEquals(part(1, 32).verdict, VERDICT.redirect);
  assertEquals(part(2, 32).verdict, VERDICT.shot, "kept until its first one comes");
  const row = node.connection(17, [POD[family], 9], [OTHER_POD[family], 10])!;
  assertEquals(row.packets, [2n, 0n]);
  assertEquals(node.maps.pilus_ct.count(), 1);
});

for (const protocol of ["tcp", "udp"] as const) {
  both(`a ${protocol} service is translated per packet, and its answers back`, (family) => {
    using node = new TestNode();
    const make = (
      source: string,
      sourcePort: number,
      destination: string,
      destinationPort: number,
      flags: number,
    ) => {
      const options = { source, sourcePort, destination, destinationPort };
      return protocol === "tcp" ? tcpFrame({ ...options, flags }) : udpFrame(options);
    };
    const [client, service, server] = [POD[family], SERVICE[family], OTHER_POD[family]];
    for (const flags of [TCP.syn, TCP.ack]) {
      const there = node.fromPod(make(client, 1234, service, SERVICE.port, flags));
      assertEquals(there.verdict, VERDICT.redirect);
      const packet = readFrame(there.frame);
      assertEquals([packet.destination, packet.destinationPort], [server, SERVICE.backendPort]);
      assertEquals([packet.source, packet.sourcePort], [client, 1234]);
      assertEquals(packet.destinationMac, OTHER_POD.mac);

      const answer = make(server, SERVICE.backendPort, client, 1234, flags | TCP.ack);
      const back = node.fromPod(answer, OTHER_POD);
      assertEquals(back.verdict, VERDICT.redirect);
      const restored = readFrame(back.frame);
      assertEquals([restored.source, restored.sourcePort], [service, SERVICE.port]);
      assertEquals([restored.destination, restored.destinationPort], [client, 1234]);
    }
    const number = PROTOCOL[protocol];
    const row = node.connection(number, [client, 1234], [server, SERVICE.backendPort])!;
    assertEquals(row.packets, [2n, 2n]);
    assert(row.flags & CtFlags.SERVICE);
    assertEquals([formatIp(row.frontend), row.frontendPort], [service, SERVICE.port]);
    assertEquals(node.maps.pilus_ct.count(), 1);

    // the answer may also come from the host's stack or another node
    const answer = make(server, SERVICE.backendPort, client, 1234, TCP.ack);
    for (const [program, ifindex] of [["to_pod", POD.ifindex]] as const) {
      const restored = readFrame(node.run(program, answer, { ifindex }).frame);
      assertEquals([restored.source, restored.sourcePort], [service, SERVICE.port]);
    }

    // nothing is there: the client is told at once
    const nobody = make(client, 1234, service, EMPTY_SERVICE_PORT, TCP.syn);
    const refused = node.fromPod(nobody);
    assertEquals(refused.verdict, VERDICT.redirect);
    assertEquals(onlyEvent(node).reason, DropReason.SERVICE_BACKEND_NOT_FOUND);
    assertEquals(node.counted(DropReason.SERVICE_BACKEND_NOT_FOUND).egress, 1);
    const refusal = readFrame(refused.frame);
    assertEquals([refusal.source, refusal.destination], [service, client]);
    if (protocol === "tcp") {
      assertEquals(refusal.payload[13], TCP.rst | TCP.ack);
      assertEquals([refusal.sourcePort, refusal.destinationPort], [EMPTY_SERVICE_PORT, 1234]);
    } else {
      assertEquals([refusal.icmpType, refusal.payload[1]], family === "ipv4" ? [3, 3] : [1, 4]);
      assertEquals([refusal.quoted?.source, refusal.quoted?.sourcePort], [client, 1234]);
      assertEquals(refusal.quoted?.destinationPort, EMPTY_SERVICE_PORT);
    }
    assertEquals([refusal.destinationMac, refusal.sourceMac], [POD.mac, POD.hostMac]);
    const ping = node.fromPod(echoFrame({ source: client, destination: service, id: 1 }));
    assertDropped(node, ping, DropReason.SERVICE_BACKEND_NOT_FOUND);
  });
}

both("a connection stays with its backend when the service gets others", (family) => {
  using node = new TestNode();
  const send = (flags: number) =>
    readFrame(
      node.fromPod(tcp(family, POD, SERVICE, flags, { destinationPort: SERVICE.port })).frame,
    ).destination;
  const [old, other] = [
    { address: OTHER_POD[family], port: SERVICE.backendPort },
    { address: REMOTE[family], port: 8080 },
  ];
  assertEquals(send(TCP.syn), old.address);
  // the first keeps what it has
  node.setService(SERVICE[family], SERVICE.port, 3, [other, old], { count: 1 });
  assertEquals(send(TCP.ack), old.address);
  assertEquals(send(TCP.fin | TCP.ack), old.address);
  assertEquals(send(TCP.syn), other.address);
});

both("a connection leaves its backend when the service has it no more", (family) => {
  using node = new TestNode();
  const send = (flags: number) =>
    readFrame(
      node.fromPod(tcp(family, POD, SERVICE, flags, { destinationPort: SERVICE.port })).frame,
    ).destination;
  assertEquals(send(TCP.syn), OTHER_POD[family]);
  node.setService(SERVICE[family], SERVICE.port, 3, [{ address: REMOTE[family], port: 8080 }]);
  assertEquals(send(TCP.ack), REMOTE[family]);
});

both("an ICMP error of a backend speaks of the service", (family) => {
  using node = new TestNode();
  const [client, service, server] = [POD[family], SERVICE[family], OTHER_POD[family]];
  const sent = node.fromPod(udpFrame({
    source: client,
    destination: service,
    sourcePort: 1234,
    destinationPort: SERVICE.port,
  }));
  const error = unreachableFrame({ source: server, destination: client, about: sent.frame });
  const { verdict, frame } = node.fromPod(error, OTHER_POD);
  assertEquals(verdict, VERDICT.redirect);
  const packet = readFrame(frame);
  assertEquals(packet.source, service);
  assertEquals(packet.quoted?.destination, service);
  assertEquals(packet.quoted?.destinationPort, SERVICE.port);
  assertEquals(packet.quoted?.source, client);
});

both("fragments to a service reach one backend", (family) => {
  using node = new TestNode();
  const envelope = { source: POD[family], destination: SERVICE[family] };
  const whole = udpFrame({
    ...envelope,
    sourcePort: 9,
    destinationPort: SERVICE.port,
    payload: new Uint8Array(64).fill(7),
  });
  const datagram = whole.slice(ETHERNET_HEADER + (family === "ipv4" ? 20 : 40));
  const parts = [0, 32].map((offset) => {
    const fragment = { id: 4, offset, more: offset === 0 };
    const payload = offset === 0 ? datagram.slice(0, 32) : datagram.slice(32);
    const made = frame(envelope, ipPacket({ ...envelope, fragment }, PROTOCOL.udp, payload));
    const result = node.fromPod(made);
    assertEquals(result.verdict, VERDICT.redirect);
    return readFrame(result.frame);
  });
  for (const part of parts) assertEquals(part.destination, OTHER_POD[family]);
  const joined = Uint8Array.from([...parts[0]!.payload, ...parts[1]!.payload]);
  const again = udpFrame({
    source: POD[family],
    destination: OTHER_POD[family],
    sourcePort: 9,
    destinationPort: SERVICE.backendPort,
    payload: new Uint8Array(64).fill(7),
  });
  assertEquals(joined, readFrame(again).payload);
});

both("a pod of another node is reached through the tunnel", (family) => {
  using node = new TestNode();
  const { verdict, mark, frame } = node.fromPod(tcp(family, POD, REMOTE, TCP.syn));
  assertEquals([verdict, mark & MARK.mask], [VERDICT.redirect, MARK.overlay]);
  assertEquals(readFrame(frame).ttl, 64);
  const row = node.connection(6, [POD[family], 40000], [REMOTE[family], 8080])!;
  assertEquals([row.responderIdentity, row.responderRevision], [REMOTE.identity, 0]);
  const again = node.run("to_overlay", frame, { ifindex: TUNNEL_IFINDEX, mark });
  assertEquals(again.verdict, VERDICT.ok);
});

both("to_overlay finds the tunnel for the node itself, and drops what has none", (family) => {
  using node = new TestNode();
  const self = { ...POD, [family]: NODE[family] };
  const run = (frame: Uint8Array) => node.run("to_overlay", frame, { ifindex: TUNNEL_IFINDEX });
  const { verdict, mark } = run(tcp(family, self, REMOTE, TCP.syn));
  assertEquals([verdict, mark & MARK.mask], [VERDICT.ok, MARK.overlay]);
  const lost = run(tcp(family, self, WORLD, TCP.syn));
  const e = assertDropped(node, lost, DropReason.NO_TUNNEL_ENDPOINT);
  assertEquals(e.point, ObservationPoint.TO_OVERLAY);
  assertEquals(e.sourceIdentity, 1);
});

both("from_overlay wants a tunnel key", (family) => {
  using node = new TestNode();
  const frame = tcp(family, { ...POD, [family]: REMOTE[family] }, POD, TCP.syn);
  const result = node.run("from_overlay", frame, { ifindex: TUNNEL_IFINDEX });
  assertDropped(node, result, DropReason.NO_TUNNEL_KEY, "ingress");
});

both("what comes through the tunnel is judged by the sender's identity", (family) => {
  using node = new TestNode();
  using trampoline = new Trampoline();
  const run = (identity: number, to: Record<Family, string>, flags: number = TCP.syn) => {
    const program = trampoline.aim(node.program("from_overlay"), { identity });
    const frame = tcp(family, { ...POD, [family]: REMOTE[family] }, to, flags);
    return node.run(program, frame, { ifindex: TUNNEL_IFINDEX });
  };
  node.setPolicy(2, {
    INGRESS: { enforced: true, defaultCookie: 3 },
    entries: [{ direction: "INGRESS", identity: REMOTE.identity }],
  });
  node.setEndpoint(POD, { policy: 2 });
  const e = assertDropped(node, run(999, POD), DropReason.POLICY_DENIED_BY_DEFAULT, "ingress");
  assertEquals([e.sourceIdentity, e.destinationIdentity], [999, POD.identity]);
  assertEquals([e.cookie, e.endpoint, e.point], [3, POD.id, ObservationPoint.FROM_OVERLAY]);
  const { verdict, frame } = run(REMOTE.identity, POD);
  assertEquals(verdict, VERDICT.redirect);
  const packet = readFrame(frame);
  assertEquals([packet.destinationMac, packet.sourceMac], [POD.mac, POD.hostMac]);
  const row = node.connection(6, [REMOTE[family], 40000], [POD[family], 8080])!;
  assertEquals([row.initiatorIdentity, row.responderIdentity], [REMOTE.identity, POD.identity]);
  assertEquals([row.initiatorRevision, row.responderRevision], [0, 1]);
  // the answer needs no rule
  const answer = tcp(family, POD, REMOTE, TCP.ack, { sourcePort: 8080, destinationPort: 40000 });
  assertEquals(node.fromPod(answer).mark & MARK.mask, MARK.overlay);

  assertDropped(node, run(1, POD), DropReason.INVALID_IDENTITY, "ingress");
  assertDropped(node, run(REMOTE.identity, WORLD), DropReason.UNROUTABLE, "ingress");
  assertEquals(run(REMOTE.identity, NODE).verdict, VERDICT.ok);
});

both("a service's backend on another node answers through the tunnel", (family) => {
  using node = new TestNode();
  using trampoline = new Trampoline();
  const [client, service, server] = [POD[family], SERVICE[family], REMOTE[family]];
  node.setService(service, SERVICE.port, 3, [{ address: server, port: 8080 }]);
  const there = node.fromPod(
    tcp(family, POD, SERVICE, TCP.syn, { destinationPort: SERVICE.port }),
  );
  assertEquals(there.mark & MARK.mask, MARK.overlay);
  assertEquals(readFrame(there.frame).destination, server);
  const program = trampoline.aim(node.program("from_overlay"), { identity: REMOTE.identity });
  const back = (made: Uint8Array) => {
    const result = node.run(program, made, { ifindex: TUNNEL_IFINDEX });
    assertEquals(result.verdict, VERDICT.redirect);
    return readFrame(result.frame);
  };
  const answer = back(tcpFrame({
    source: server,
    destination: client,
    sourcePort: 8080,
    destinationPort: 40000,
    flags: TCP.syn | TCP.ack,
  }));
  assertEquals([answer.source, answer.sourcePort], [service, SERVICE.port]);
  const error = back(
    unreachableFrame({ source: server, destination: client, about: there.frame }),
  );
  assertEquals([error.source, error.quoted?.destination], [service, service]);
  assertEquals(error.quoted?.destinationPort, SERVICE.port);
});

both(
  "a pod must not speak as the tunnel does, and reaches the node through its stack",
  (family) => {
    using node = new TestNode();
    const send = (destination: string, destinationPort: number) =>
      node.fromPod(udpFrame({ source: POD[family], destination, sourcePort: 1, destinationPort }));
    assertDropped(node, send(OTHER_NODE[family], 8472), DropReason.ENCAP_PROHIBITED);
    assertDropped(node, send(NODE[family], 8472), DropReason.ENCAP_PROHIBITED);
    const { verdict, mark } = send(NODE[family], 53);
    assertEquals([verdict, mark], [VERDICT.ok, 0]);
  },
);

both("to_pod judges what the host's stack forwards, and knows the node", (family) => {
  using node = new TestNode();
  node.setPolicy(2, {
    INGRESS: { enforced: true, defaultCookie: 3 },
    entries: [{ direction: "INGRESS", identity: 1, cookie: 4 }],
  });
  node.setEndpoint(POD, { policy: 2 });
  const run = (from: string) =>
    node.run("to_pod", tcp(family, { ...POD, [family]: from }, POD, TCP.syn), {
      ifindex: POD.ifindex,
    });
  assertEquals(run(NODE[family]).verdict, VERDICT.ok);
  const world = family === "ipv4" ? 9 : 10;
  const e = assertDropped(node, run(WORLD[family]), DropReason.POLICY_DENIED_BY_DEFAULT, "ingress");
  assertEquals([e.sourceIdentity, e.cookie, e.point], [world, 3, ObservationPoint.TO_ENDPOINT]);
  const prefix = assertDropped(
    node,
    run(PREFIX[family]),
    DropReason.POLICY_DENIED_BY_DEFAULT,
    "ingress",
  );
  assertEquals(prefix.sourceIdentity, PREFIX.identity);
});

both("from_netdev delivers to pods, and leaves everything else to the stack", (family) => {
  using node = new TestNode({ routing_mode: 0 });
  const run = (from: string, to: Record<Family, string>, ttl = 64) =>
    node.run(
      "from_netdev",
      tcpFrame({
        source: from,
        destination: to[family],
        sourcePort: 1,
        destinationPort: 80,
        flags: TCP.syn,
        ttl,
      }),
      { ifindex: DEVICE_IFINDEX },
    );
  const { verdict, frame } = run(REMOTE[family], POD);
  assertEquals(verdict, VERDICT.redirect);
  const packet = readFrame(frame);
  assertEquals(packet.ttl, 63);
  assertEquals(packet.destinationMac, POD.mac);
  assertEquals(run(WORLD[family], NODE).verdict, VERDICT.unspec);
  assertEquals(run(WORLD[family], WORLD).verdict, VERDICT.unspec);
  assertEquals(run(WORLD[family], POD, 1).verdict, VERDICT.unspec);
  for (const liar of [NODE[family], OTHER_POD[family]]) {
    assertDropped(node, run(liar, POD), DropReason.INVALID_SOURCE_IP, "ingress");
  }
});

both("from_netdev drops pods' addresses that should come through the tunnel", (family) => {
  using node = new TestNode();
  const frame = tcpFrame({
    source: REMOTE[family],
    destination: POD[family],
    sourcePort: 40000,
    destinationPort: 8080,
    flags: TCP.syn,
  });
  const result = node.run("from_netdev", frame, { ifindex: DEVICE_IFINDEX });
  assertDropped(node, result, DropReason.INVALID_SOURCE_IP, "ingress");
});

/** A packet of a pod on its way out through the node's device. */
function leave(node: TestNode, made: Uint8Array, pod: TestPod = POD): RunResult {
  const first = node.fromPod(made, pod);
  assert(first.verdict !== VERDICT.shot, `dropped: ${node.takeEvents()[0]?.reason}`);
  assertEquals(first.mark & MARK.mask, MARK.masquerade);
  return node.run("to_netdev", first.frame, { ifindex: DEVICE_IFINDEX, mark: first.mark });
}

both("what leaves the cluster takes the node's address, and answers find back", (family) => {
  using node = new TestNode();
  const ports = { sourcePort: 5555, destinationPort: 443 };
  const there = { source: POD[family], destination: WORLD[family] };
  const back = { source: WORLD[family], destination: NODE[family] };
  const cases = [
    [
      tcpFrame({ ...there, ...ports, flags: TCP.syn }),
      (port: number) =>
        tcpFrame({ ...back, sourcePort: 443, destinationPort: port, flags: TCP.syn | TCP.ack }),
    ],
    [
      udpFrame({ ...there, ...ports }),
      (port: number) => udpFrame({ ...back, sourcePort: 443, destinationPort: port }),
    ],
    [
      echoFrame({ ...there, id: 5555 }),
      (port: number) => echoFrame({ ...back, id: port, reply: true }),
    ],
  ] as const;
  for (const [made, answer] of cases) {
    const left = leave(node, made);
    assertEquals(left.verdict, VERDICT.unspec);
    assertEquals(left.mark & MARK.mask, MARK.natDone);
    const packet = readFrame(left.frame);
    assertEquals([packet.source, packet.sourcePort], [NODE[family], 5555]);
    assertEquals(packet.destination, WORLD[family]);
    const came = node.run("from_netdev", answer(5555), { ifindex: DEVICE_IFINDEX });
    assertEquals(came.verdict, VERDICT.redirect);
    const received = readFrame(came.frame);
    assertEquals([received.destination, received.destinationPort], [POD[family], 5555]);
    assertEquals(received.source, WORLD[family]);
    assertEquals(received.destinationMac, POD.mac);
    assertEquals(received.ttl, 63);

    // a router on the way complains about the packet as it left
    const error = unreachableFrame({
      source: OTHER_NODE[family],
      destination: NODE[family],
      about: left.frame,
    });
    const told = node.run("from_netdev", error, { ifindex: DEVICE_IFINDEX });
    assertEquals(told.verdict, VERDICT.redirect);
    const complaint = readFrame(told.frame);
    assertEquals([complaint.source, complaint.destination], [OTHER_NODE[family], POD[family]]);
    assertEquals([complaint.quoted?.source, complaint.quoted?.sourcePort], [POD[family], 5555]);

    // and the pod about the answer
    const objection = leave(
      node,
      unreachableFrame({ source: POD[family], destination: WORLD[family], about: came.frame }),
    );
    const objected = readFrame(objection.frame);
    assertEquals([objected.source, objected.destination], [NODE[family], WORLD[family]]);
    const { quoted } = objected;
    assertEquals([quoted?.destination, quoted?.destinationPort], [NODE[family], 5555]);
  }
  // nobody asked: the stack's affair
  const stray = node.run("from_netdev", cases[0][1](6666), { ifindex: DEVICE_IFINDEX });
  assertEquals(stray.verdict, VERDICT.unspec);
});

both("two pods with the same port take different ones", (family) => {
  using node = new TestNode();
  for (const kind of ["tcp", "echo"] as const) {
    const make = (pod: TestPod) => {
      const envelope = { source: pod[family], destination: WORLD[family] };
      return kind === "echo"
        ? echoFrame({ ...envelope, id: 7000 })
        : tcpFrame({ ...envelope, sourcePort: 7000, destinationPort: 80, flags: TCP.syn });
    };
    const first = readFrame(leave(node, make(POD)).frame);
    const second = readFrame(leave(node, make(OTHER_POD), OTHER_POD).frame);
    assertEquals(first.sourcePort, 7000);
    assert(second.sourcePort !== 7000 && second.sourcePort >= 1024);
    assertEquals(readFrame(leave(node, make(OTHER_POD), OTHER_POD).frame), second);
    const back = { source: WORLD[family], destination: NODE[family] };
    const answer = kind === "echo"
      ? echoFrame({ ...back, id: second.sourcePort, reply: true })
      : tcpFrame({
        ...back,
        sourcePort: 80,
        destinationPort: second.sourcePort,
        flags: TCP.syn | TCP.ack,
      });
    const came = readFrame(node.run("from_netdev", answer, { ifindex: DEVICE_IFINDEX }).frame);
    assertEquals([came.destination, came.destinationPort], [OTHER_POD[family], 7000]);
  }
});

both("a port of a service is given to no flow", (family) => {
  using node = new TestNode({ nat_port_min: 30302, nat_port_max: 30303 });
  node.setService("::", 30303, 20, [], { id: 5 });
  const ports = { sourcePort: 30303, destinationPort: 53 };
  const made = udpFrame({ source: POD[family], destination: WORLD[family], ...ports });
  assertEquals(readFrame(leave(node, made).frame).sourcePort, 30302);
  const other = udpFrame({ source: OTHER_POD[family], destination: WORLD[family], ...ports });
  assertDropped(node, leave(node, other, OTHER_POD), DropReason.NO_NAT_MAPPING);
});

both("when all ports are taken there is a reason, and abandoned ports are taken over", (family) => {
  using node = new TestNode({ nat_port_min: 100, nat_port_max: 103 });
  const make = (sourcePort: number) =>
    udpFrame({
      source: POD[family],
      destination: WORLD[family],
      sourcePort,
      destinationPort: 53,
    });
  const other = (sourcePort: number) =>
    udpFrame({
      source: OTHER_POD[family],
      destination: WORLD[family],
      sourcePort,
      destinationPort: 53,
    });
  for (let port = 100; port <= 103; port++) leave(node, make(port));
  const { pilus_nat } = node.maps;
  assertEquals(pilus_nat.count(), 4);
  assertDropped(node, leave(node, other(101), OTHER_POD), DropReason.NO_NAT_MAPPING);
  // nothing has come by port 102 for longer than a datagram's flow lasts
  for (const [key, value] of [...pilus_nat.entries()]) {
    if (key.destinationPort === 102) pilus_nat.set(key, { ...value, used: 0n });
  }
  const left = readFrame(leave(node, other(101), OTHER_POD).frame);
  assertEquals([left.source, left.sourcePort], [NODE[family], 102]);
  assertEquals(pilus_nat.count(), 4);
  const taken = [...pilus_nat.entries()].find(([key]) => key.destinationPort === 102);
  assertEquals(formatIp(taken![1].address), OTHER_POD[family]);
});

both("a port that a socket of the node has is not given away", (family) => {
  using node = new TestNode();
  addAddress(node.netlink, { ifindex: DEVICE_IFINDEX, cidr: parseCidr(NODE[family]) });
  const port = 7100;
  using _socket = Deno.listen({ hostname: NODE[family], port });
  const made = tcp(family, POD, WORLD, TCP.syn, { sourcePort: port });
  assert(readFrame(leave(node, made).frame).sourcePort !== port);
});

both("without masquerading a packet keeps its source", (family) => {
  using plain = new TestNode({ masquerade: 0 });
  const made = tcp(family, POD, WORLD, TCP.syn);
  assertEquals(plain.fromPod(made).mark, 0);
  const run = plain.run("to_netdev", made, { ifindex: DEVICE_IFINDEX });
  assertEquals(run.verdict, VERDICT.unspec);
  assertEquals(run.frame, made);
});

both("from_pod routes without the stack what the node's routes know", (family) => {
  using node = new TestNode();
  const kind = family === "ipv4" ? "ipv4/ip_forward" : "ipv6/conf/all/forwarding";
  Deno.writeTextFileSync(`/proc/sys/net/${kind}`, "1");
  addAddress(node.netlink, {
    ifindex: DEVICE_IFINDEX,
    cidr: parseCidr(family === "ipv4" ? `${NODE.ipv4}/24` : `${NODE.ipv6}/64`),
  });
  const gateway = parseIp(OTHER_NODE[family]);
  const mac = Uint8Array.of(2, 9, 9, 9, 9, 9);
  replaceRoute(node.netlink, {
    destination: parseCidr(`${OTHER_NODE[family]}`),
    ifindex: DEVICE_IFINDEX,
  });
  replaceRoute(node.netlink, {
    destination: parseCidr(family === "ipv4" ? "198.51.100.0/24" : "2001:db8:ffff::/48"),
    via: gateway,
    ifindex: DEVICE_IFINDEX,
  });
  replaceNeighbour(node.netlink, { ifindex: DEVICE_IFINDEX, ip: gateway, mac });
  const { verdict, frame, mark } = node.fromPod(tcp(family, POD, WORLD, TCP.syn));
  assertEquals(verdict, VERDICT.redirect);
  assertEquals(mark & MARK.mask, MARK.masquerade);
  assertEquals(readFrame(frame).ttl, 63);
  // the stack sends the error for a packet that dies here
  const dying = tcpFrame({
    source: POD[family],
    destination: WORLD[family],
    sourcePort: 1,
    destinationPort: 2,
    flags: TCP.syn,
    ttl: 1,
  });
  assertEquals(node.fromPod(dying).verdict, VERDICT.ok);
  const big = udpFrame({
    source: POD[family],
    destination: WORLD[family],
    sourcePort: 1,
    destinationPort: 2,
    payload: new Uint8Array(1600),
  });
  assertEquals(node.fromPod(big).verdict, VERDICT.ok);
});

both("verdicts and traces tell of connections when they are asked for", (family) => {
  using node = new TestNode();
  node.setPolicy(2, {
    INGRESS: { enforced: true },
    entries: [{ direction: "INGRESS", protocol: 6, port: 8080, cookie: 42 }],
  });
  node.setEndpoint(OTHER_POD, { policy: 2 });
  node.maps.pilus_runtime.set(0, { traceLevel: 1, sockmap: 0 });
  const syn = tcp(family, POD, OTHER_POD, TCP.syn);
  node.fromPod(syn);
  const [verdict, trace, ...rest] = node.takeEvents();
  assertEquals(rest, []);
  assertEquals([verdict!.header.type, trace!.header.type], [EventType.VERDICT, EventType.TRACE]);
  assertEquals([verdict!.cookie, verdict!.endpoint, verdict!.direction], [42, OTHER_POD.id, 0]);
  assertEquals(trace!.status, 1);
  assertEquals([trace!.sourcePort, trace!.destinationPort], [40000, 8080]);
  assertEquals(formatIp(trace!.destination), OTHER_POD[family]);
  assertEquals([trace!.sourceIdentity, trace!.destinationIdentity], [
    POD.identity,
    OTHER_POD.identity,
  ]);
  assertEquals([trace!.protocol, trace!.family, trace!.tcpFlags], [
    6,
    family === "ipv4" ? 4 : 6,
    TCP.syn,
  ]);
  node.fromPod(tcp(family, POD, OTHER_POD, TCP.ack));
  assertEquals(node.takeEvents(), []);
  node.fromPod(tcp(family, POD, OTHER_POD, TCP.fin | TCP.ack));
  assertEquals(onlyEvent(node).tcpFlags, TCP.fin | TCP.ack);
});

both("the trace level `packets` reports each packet that is forwarded, `none` none", (family) => {
  using node = new TestNode();
  const established = tcp(family, POD, OTHER_POD, TCP.ack);
  const types = (traceLevel: number, frame: Uint8Array<ArrayBuffer>) => {
    node.maps.pilus_runtime.set(0, { traceLevel, sockmap: 0 });
    node.fromPod(frame);
    return node.takeEvents().map(({ header }) => header.type);
  };
  assertEquals(types(TraceLevel.LEVEL_NONE, tcp(family, POD, OTHER_POD, TCP.syn)), []);
  assertEquals(types(TraceLevel.LEVEL_CONNECTIONS, established), []);
  for (let i = 0; i < 3; i++) {
    assertEquals(types(TraceLevel.LEVEL_PACKETS, established), [EventType.TRACE]);
  }
  assertEquals(types(TraceLevel.LEVEL_NONE, established), []);
});
