/** Ways into and out of a pod that an attacker tried; see docs/security.md. */

import { assert, assertEquals } from "@std/assert";
import {
  CtFlags,
  DropReason,
  EventType,
  IpcacheFlags,
  NatFlags,
  ServiceFlags,
} from "./maps/generated.ts";
import { addAddress } from "./net/address.ts";
import { equalIp, parseCidr, parseIp } from "./net/ip.ts";
import { listRoutes, TABLE_LOCAL } from "./net/route.ts";
import { balancerNode, PORTS, VIP } from "./testdata/balancer.ts";
import {
  DEVICE_IFINDEX,
  DEVICE_MAC,
  dropped,
  MARK,
  NODE,
  OTHER_NODE,
  OTHER_POD,
  OTHER_ROUTER,
  POD,
  REMOTE,
  ROUTER,
  type RunResult,
  takesOut,
  type TestEntry,
  TestNode,
  type TestPod,
  TUNNEL_IFINDEX,
  VERDICT,
  WORLD,
} from "./testdata/node.ts";
import {
  echoFrame,
  frame,
  icmpFrame,
  ipPacket,
  PROTOCOL,
  readFrame,
  TCP,
  tcpFrame,
  udpFrame,
  unreachableFrame,
  vxlanFrame,
} from "./testdata/packets.ts";
import { Trampoline } from "./testdata/trampoline.ts";
import { both, type Family } from "./testdata/families.ts";

type Bytes = Uint8Array<ArrayBuffer>;

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

both("a router reports only about what can have passed it", (family) => {
  for (const routing of ["vxlan", "native"] as const) {
    using node = new TestNode(routing === "native" ? { routing_mode: 0, tunnel_ifindex: 0 } : {});
    const flow = (destination: string) =>
      udpFrame({ source: POD[family], destination, sourcePort: 1000, destinationPort: 53 });
    const error = (destination: string) => {
      const about = flow(destination);
      node.fromPod(about);
      node.takeEvents();
      const made = unreachableFrame({ source: WORLD[family], destination: POD[family], about });
      return dropped(node, node.run("from_netdev", made, { ifindex: DEVICE_IFINDEX }));
    };
    const { FORGED_ICMP_ERROR } = DropReason;
    assertEquals(error(OTHER_POD[family]), FORGED_ICMP_ERROR, "within the node");
    assertEquals(error(POD[family]), FORGED_ICMP_ERROR, "within the pod");
    const between = routing === "native" ? undefined : FORGED_ICMP_ERROR;
    assertEquals(error(REMOTE[family]), between, `between nodes, ${routing}`);
  }
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
  const { FORWARDED, INVALID_SOURCE_IP, NEIGHBOUR_DISCOVERY_FROM_AFAR } = DropReason;
  assertEquals(dropped(node, advertise(POD.ipv6, "fe80::1", 64)), NEIGHBOUR_DISCOVERY_FROM_AFAR);
  assertEquals(dropped(node, advertise(OTHER_POD.ipv6, "fe80::1")), INVALID_SOURCE_IP);
  for (const type of [133, 134, 136, 137]) {
    for (
      const destination of [OTHER_POD.ipv6, REMOTE.ipv6, WORLD.ipv6, NODE.ipv6, "::", "fe80::1"]
    ) {
      for (const source of [POD.ipv6, "fe80::1", "fe80::2"]) {
        assertEquals(advertise(source, destination, 255, type).verdict, VERDICT.shot);
      }
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

const { INVALID_SOURCE_IP, UNROUTABLE, ENCAP_PROHIBITED, INVALID_IDENTITY } = DropReason;
const { TUNNEL_FROM_UNKNOWN_NODE } = DropReason;
/** A device that is none of the node's in pilus_devices: a bridge of containers, another card. */
const FOREIGN_IFINDEX = 1300;

/** The identity that a packet was judged with, by the event of its trace. */
function judgedAs(node: TestNode, result: RunResult): number | undefined {
  const events = node.takeEvents();
  assert(result.verdict !== VERDICT.shot, `dropped: ${events[0]?.reason}`);
  return events.find(({ header }) => header.type === EventType.TRACE)?.sourceIdentity;
}

both("a pod reaches no address that the stack takes as its own, but as the host", (family) => {
  using node = new TestNode();
  node.reachOtherNode();
  addAddress(node.netlink, {
    ifindex: DEVICE_IFINDEX,
    cidr: parseCidr(family === "ipv4" ? "192.0.2.77/24" : "2001:db8:77::1/64"),
  });
  // an address of IPv6 is in the table of local routes a moment later
  const own = parseIp(family === "ipv4" ? "192.0.2.77" : "2001:db8:77::1");
  const isLocal = () =>
    listRoutes(node.netlink).some(({ table, destination }) =>
      table === TABLE_LOCAL && equalIp(destination.address, own)
    );
  for (let i = 0; i < 100 && !isLocal(); i++) {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
  }
  const to = (destination: string, ttl = 64) =>
    node.fromPod(
      udpFrame({ source: POD[family], destination, sourcePort: 1, destinationPort: 9999, ttl }),
    );
  const taken = family === "ipv4"
    ? ["192.0.2.77", "192.0.2.255", "127.0.0.1", "127.9.9.9"]
    : ["2001:db8:77::1", "2001:db8:77::", "::1"];
  for (const address of taken) {
    for (const ttl of [64, 1]) {
      const { verdict } = to(address, ttl);
      assert(verdict !== VERDICT.ok, `${address} goes to the stack`);
      assertEquals(node.takeEvents().at(-1)?.reason, UNROUTABLE, address);
    }
  }
});

both("no packet of a pod is an outer frame of the tunnel", (family) => {
  using node = new TestNode();
  for (const destination of [NODE, ROUTER, OTHER_NODE, OTHER_ROUTER, WORLD]) {
    const made = vxlanFrame({
      source: POD[family],
      destination: destination[family],
      vni: OTHER_POD.identity,
      about: echoFrame({ source: REMOTE[family], destination: OTHER_POD[family], id: 1 }),
    });
    assertEquals(dropped(node, node.fromPod(made)), ENCAP_PROHIBITED, destination[family]);
  }
  const own = { source: POD[family], sourcePort: 1, destinationPort: 8472 };
  for (const { [family]: destination } of [OTHER_POD, REMOTE]) {
    assertEquals(dropped(node, node.fromPod(udpFrame({ ...own, destination }))), undefined);
  }
});

both("what leaves the stack has no pod's source but from the pod's device", (family) => {
  using node = new TestNode();
  node.maps.pilus_runtime.set(0, { traceLevel: 2, sockmap: 0 });
  const toPod = (source: string, ingressIfindex: number) =>
    node.run(
      "to_pod",
      udpFrame({ source, destination: POD[family], sourcePort: 1, destinationPort: 2 }),
      { ifindex: POD.ifindex, ingressIfindex },
    );
  const world = family === "ipv4" ? 9 : 10;
  for (const by of [FOREIGN_IFINDEX, DEVICE_IFINDEX]) {
    for (const source of [OTHER_POD, REMOTE]) {
      assertEquals(dropped(node, toPod(source[family], by)), INVALID_SOURCE_IP);
    }
    for (const source of [NODE, ROUTER, OTHER_NODE, WORLD]) {
      assertEquals(judgedAs(node, toPod(source[family], by)), world, source[family]);
    }
  }
  assertEquals(judgedAs(node, toPod(OTHER_POD[family], OTHER_POD.ifindex)), OTHER_POD.identity);
  node.maps.pilus_ct.clear();
  assertEquals(judgedAs(node, toPod(NODE[family], 0)), 1);
});

both("what leaves the stack into the tunnel has no pod's source either", (family) => {
  using node = new TestNode();
  const toOverlay = (source: string, ingressIfindex: number) =>
    node.run(
      "to_overlay",
      udpFrame({ source, destination: REMOTE[family], sourcePort: 1, destinationPort: 2 }),
      { ifindex: TUNNEL_IFINDEX, ingressIfindex },
    );
  for (const source of [POD, OTHER_POD, REMOTE]) {
    const result = toOverlay(source[family], FOREIGN_IFINDEX);
    assertEquals(dropped(node, result), INVALID_SOURCE_IP);
  }
  assertEquals(dropped(node, toOverlay(POD[family], POD.ifindex)), undefined);
  assertEquals(dropped(node, toOverlay(WORLD[family], FOREIGN_IFINDEX)), undefined);
});

/** Sources of frames of OTHER_NODE with the VNIs that it may send them with. */
const FORGED = [
  ["a pod of this node", OTHER_POD, [OTHER_POD.identity, 6, 2]],
  ["this node", NODE, [1, 6, 2, 300]],
  ["its pod, as the node", REMOTE, [1, 2, 6]],
  ["an outside host, as a pod", WORLD, [REMOTE.identity, 6]],
  ["the loopback", { ipv4: "127.0.0.1", ipv6: "::1" }, [2, 6, REMOTE.identity]],
  ["a pod of a third node", { ipv4: "10.3.0.3", ipv6: "fd00:3::3" }, [REMOTE.identity]],
  ["a pod of a third node that is not known yet", { ipv4: "10.3.0.4", ipv6: "fd00:3::4" }, [300]],
] as const;

/** The pods of a third node. */
function addThirdNode(node: TestNode, family: Family): void {
  const third = { ipv4: "192.0.2.3", ipv6: "2001:db8::3" };
  node.maps.pilus_ipcache.set(parseIp(third[family]), {
    identity: 6,
    flags: IpcacheFlags.NODE,
    ifindex: 0,
    node: parseIp(third.ipv4),
  });
  node.maps.pilus_ipcache.set(parseIp(family === "ipv4" ? "10.3.0.3" : "fd00:3::3"), {
    identity: REMOTE.identity,
    flags: IpcacheFlags.TUNNEL,
    ifindex: 0,
    node: parseIp(third.ipv4),
  });
  const cidr = parseCidr(family === "ipv4" ? "10.3.0.0/24" : "fd00:3::/64");
  node.maps.pilus_node_cidrs.set(cidr, parseIp(third.ipv4));
}

both("a frame of the tunnel speaks for nobody but the pods of its node", (family) => {
  using node = new TestNode();
  using trampoline = new Trampoline();
  addThirdNode(node, family);
  const about = (source: string) =>
    udpFrame({ source, destination: POD[family], sourcePort: 1, destinationPort: 2 });
  const early = (source: string, vni: number, outer: string) =>
    node.run(
      "from_netdev",
      vxlanFrame({ source: outer, destination: NODE.ipv4, vni, about: about(source) }),
      { ifindex: DEVICE_IFINDEX },
    ).verdict;
  const device = (source: string, identity: number) =>
    node.run(trampoline.aim(node.program("from_overlay"), { identity }), about(source), {
      ifindex: TUNNEL_IFINDEX,
    });
  for (const [what, { [family]: source }, vnis] of FORGED) {
    for (const vni of vnis) {
      assertEquals(early(source, vni, OTHER_NODE.ipv4), VERDICT.unspec, `${what} as ${vni}`);
      assertEquals(dropped(node, device(source, vni)), INVALID_IDENTITY, `${what} as ${vni}`);
    }
  }
  const unknown = family === "ipv4" ? "10.2.0.99" : "fd00:2::99";
  for (const [source, vni] of [[REMOTE[family], 2001], [unknown, 300], [OTHER_ROUTER[family], 6]]) {
    assertEquals(dropped(node, device(source as string, vni as number)), undefined);
  }
  assertEquals(
    early(REMOTE[family], REMOTE.identity, OTHER_NODE.ipv4),
    takesOut(family) ? VERDICT.redirect : VERDICT.unspec,
  );
  // the device's program has the last word about what others send
  assertEquals(early(REMOTE[family], REMOTE.identity, WORLD.ipv4), VERDICT.unspec);
  for (const own of [NODE.ipv4, POD.ipv4]) {
    assertEquals(early(REMOTE[family], REMOTE.identity, own), VERDICT.shot);
  }
  node.maps.pilus_ipcache.delete(parseIp(OTHER_NODE.ipv4));
  node.forgetAddresses();
  const result = device(REMOTE[family], REMOTE.identity);
  assertEquals(dropped(node, result), TUNNEL_FROM_UNKNOWN_NODE);
});

Deno.test("there is no tunnel in the tunnel", () => {
  using node = new TestNode();
  using trampoline = new Trampoline();
  const inner = vxlanFrame({
    source: REMOTE.ipv4,
    destination: NODE.ipv4,
    vni: OTHER_POD.identity,
    about: echoFrame({ source: OTHER_POD.ipv4, destination: POD.ipv4, id: 1 }),
  });
  const program = trampoline.aim(node.program("from_overlay"), { identity: REMOTE.identity });
  const result = node.run(program, inner, { ifindex: TUNNEL_IFINDEX });
  assertEquals(dropped(node, result), ENCAP_PROHIBITED);
});

both("only nodes send direct server return in IP", (family) => {
  using node = balancerNode("ipip");
  const { elsewhere } = PORTS;
  const inner = udpFrame({
    source: WORLD[family],
    destination: VIP[family],
    sourcePort: 5,
    destinationPort: elsewhere,
  });
  const encapsulated = (source: string) => {
    const envelope = { source, destination: POD[family] };
    const packet = inner.slice(14);
    return frame(envelope, ipPacket(envelope, family === "ipv4" ? 4 : 41, packet));
  };
  const to = (source: string) => {
    node.run("from_netdev", encapsulated(source), { ifindex: DEVICE_IFINDEX });
    return node.connection(17, [WORLD[family], 5], [POD[family], 8080]);
  };
  for (const source of [WORLD[family], REMOTE[family], OTHER_POD[family]]) {
    assertEquals(to(source), undefined, source);
  }
  assert(to(OTHER_NODE[family]));
});

both("a translated flow whose port is a service's gets its answers", (family) => {
  for (const program of ["xdp_ingress", "from_netdev"] as const) {
    using node = balancerNode("snat");
    const port = 30_080;
    // the port that the client has is a node port of another service
    node.setService(NODE[family], port, 400, [{ address: REMOTE[family], port: 9 }], {
      id: 99,
      flags: ServiceFlags.EXTERNAL,
    });
    node.maps.pilus_ipcache.set(parseIp(NODE[family]), {
      identity: 1,
      flags: IpcacheFlags.NODE | IpcacheFlags.SERVICE,
      ifindex: 0,
      node: new Uint8Array(16),
    });
    const run = (made: Bytes) =>
      program === "from_netdev"
        ? node.run(program, made, { ifindex: DEVICE_IFINDEX }).frame
        : node.program(program).testRun({ data: made }).data;
    const there = readFrame(run(udpFrame({
      source: WORLD[family],
      destination: VIP[family],
      sourcePort: port,
      destinationPort: PORTS.elsewhere,
    })));
    assertEquals([there.source, there.sourcePort], [NODE[family], port]);
    const back = readFrame(run(udpFrame({
      source: REMOTE[family],
      destination: NODE[family],
      sourcePort: 8080,
      destinationPort: port,
    })));
    assertEquals([back.source, back.sourcePort], [VIP[family], PORTS.elsewhere], program);
    assertEquals([back.destination, back.destinationPort], [WORLD[family], port], program);
  }
});

both("XDP leaves a frame for another's MAC to the stack", (family) => {
  using node = balancerNode("snat");
  const made = (destinationMac?: Uint8Array) =>
    udpFrame({
      source: WORLD[family],
      destination: VIP[family],
      sourcePort: 1,
      destinationPort: PORTS.elsewhere,
      ...(destinationMac ? { destinationMac } : {}),
    });
  const run = (frame: Bytes) => node.program("xdp_ingress").testRun({ data: frame }).retval;
  const { pilus_node } = node.maps;
  // by the device's row, and where the node has but one device
  for (const only of [{}, { mac: DEVICE_MAC, oneDevice: 1 }]) {
    pilus_node.set(0, { ...pilus_node.get(0)!, ...only });
    assert([3, 4].includes(run(made())));
    assertEquals(run(made(Uint8Array.of(2, 0, 0, 9, 9, 9))), 2);
  }
});

/** A segment with its sequence numbers, whose checksum nobody looks at. */
function segment(
  options: Parameters<typeof tcpFrame>[0],
  sequence: number,
  acknowledgement: number,
): Bytes {
  const made = tcpFrame(options);
  const l4 = made.length - 20 - (options.payload?.length ?? 0);
  const view = new DataView(made.buffer);
  view.setUint32(l4 + 4, sequence);
  view.setUint32(l4 + 8, acknowledgement);
  return made;
}

both("a RST or FIN out of the window ends no connection, nor its mapping", (family) => {
  using node = new TestNode();
  const own = {
    source: POD[family],
    destination: WORLD[family],
    sourcePort: 7,
    destinationPort: 80,
  };
  const others = { source: WORLD[family], destination: NODE[family], sourcePort: 80 };
  const out = (flags: number, sequence: number, acknowledgement: number) => {
    const sent = node.fromPod(segment({ ...own, flags }, sequence, acknowledgement));
    return node.run("to_netdev", sent.frame, { ifindex: DEVICE_IFINDEX, mark: MARK.masquerade });
  };
  const back = (flags: number, sequence: number, acknowledgement: number) =>
    node.run(
      "from_netdev",
      segment({ ...others, destinationPort: 7, flags }, sequence, acknowledgement),
      { ifindex: DEVICE_IFINDEX },
    );
  const ct = () =>
    node.connection(6, [POD[family], 7], [WORLD[family], 80])!.flags & CtFlags.CLOSING;
  const nat = () =>
    [...node.maps.pilus_nat.entries()][0]![1].flags & ~NatFlags.REPLIED &
    (NatFlags.RESET | NatFlags.FIN_IN | NatFlags.FIN_OUT);
  const ended = () => [ct(), nat()];
  out(TCP.syn, 1000, 0);
  back(TCP.syn | TCP.ack, 5_000_000, 1001);
  out(TCP.ack, 1001, 5_000_001);
  for (const flags of [TCP.rst, TCP.rst | TCP.ack, TCP.fin | TCP.ack]) {
    back(flags, 3_000_000_000, 1001);
    assertEquals(ended(), [0, 0]);
    out(flags, 3_000_000_000, 5_000_001);
    assertEquals(ended(), [0, 0]);
  }
  // one that lies in the window, and that the other side has not believed
  back(TCP.rst, 5_000_900, 1001);
  assertEquals(ended(), [CtFlags.CLOSING, NatFlags.RESET]);
  out(TCP.ack, 1001, 5_000_001);
  assertEquals(ended(), [0, 0]);
  back(TCP.rst, 5_000_001, 1001);
  assertEquals(ended(), [CtFlags.CLOSING, NatFlags.RESET]);
});

both("acknowledgements that leap do not move the window", (family) => {
  using node = new TestNode();
  const client = {
    source: POD[family],
    destination: OTHER_POD[family],
    sourcePort: 7,
    destinationPort: 80,
  };
  const server = {
    source: OTHER_POD[family],
    destination: POD[family],
    sourcePort: 80,
    destinationPort: 7,
  };
  node.fromPod(segment({ ...client, flags: TCP.syn }, 1000, 0));
  node.fromPod(segment({ ...server, flags: TCP.syn | TCP.ack }, 9000, 1001), OTHER_POD);
  node.fromPod(segment({ ...client, flags: TCP.ack }, 1001, 9001));
  node.fromPod(segment({ ...client, flags: TCP.ack }, 1001, 3_000_000_000));
  node.fromPod(segment({ ...server, flags: TCP.rst }, 3_000_000_000, 0), OTHER_POD);
  const row = node.connection(6, [POD[family], 7], [OTHER_POD[family], 80])!;
  assertEquals(row.flags & CtFlags.CLOSING, 0);
  assertEquals(row.acknowledged[0], 9001);
});

both("a mapping that was never answered gives way when no port is left", (family) => {
  using node = new TestNode({ nat_port_min: 100, nat_port_max: 103 });
  const send = (pod: TestPod, sourcePort: number) => {
    const made = udpFrame({
      source: pod[family],
      destination: WORLD[family],
      sourcePort,
      destinationPort: 53,
    });
    const sent = node.fromPod(made, pod);
    return node.run("to_netdev", sent.frame, { ifindex: DEVICE_IFINDEX, mark: MARK.masquerade });
  };
  for (let port = 100; port < 104; port++) assertEquals(dropped(node, send(POD, port)), undefined);
  const age = (seconds: number, flags = 0) => {
    for (const [key, value] of [...node.maps.pilus_nat.entries()]) {
      const used = value.used - BigInt(seconds * 1e9);
      node.maps.pilus_nat.set(key, { ...value, used: used > 0n ? used : 1n, flags });
    }
  };
  assertEquals(dropped(node, send(OTHER_POD, 101)), DropReason.NO_NAT_MAPPING);
  age(2, NatFlags.REPLIED);
  assertEquals(dropped(node, send(OTHER_POD, 101)), DropReason.NO_NAT_MAPPING);
  age(2);
  assertEquals(dropped(node, send(OTHER_POD, 101)), undefined);
});
