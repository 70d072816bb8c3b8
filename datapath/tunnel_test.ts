import { assert, assertEquals } from "@std/assert";
import { DropReason, EventType, ObservationPoint } from "./maps/generated.ts";
import {
  DEVICE_IFINDEX,
  GSO_SEGMENTS,
  MARK,
  NODE,
  OTHER_NODE,
  OTHER_POD,
  POD,
  REMOTE,
  takesOut,
  TestNode,
  TUNNEL_IFINDEX,
  VERDICT,
  WORLD,
} from "./testdata/node.ts";
import {
  checksum,
  echoFrame,
  ETHERNET_HEADER,
  frame,
  ipPacket,
  PROTOCOL,
  readFrame,
  TCP,
  tcpFrame,
  udpFrame,
  unreachableFrame,
  vxlanFrame,
} from "./testdata/packets.ts";
import { both } from "./testdata/families.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** Between the link's header and the packet: IPv4, UDP, VXLAN, Ethernet. */
const ENCAPSULATION = 50;
const PORT = 8472;

/** A frame of every kind that a pod sends, from one address to another. */
function* kinds(source: string, destination: string): Generator<Bytes> {
  const ports = { sourcePort: 40000, destinationPort: 8080 };
  for (const flags of [TCP.syn, TCP.ack, TCP.fin | TCP.ack]) {
    yield tcpFrame({ source, destination, ...ports, flags, payload: new Uint8Array(100).fill(7) });
  }
  yield udpFrame({ source, destination, ...ports });
  yield echoFrame({ source, destination, id: 7 });
}

/** Sets the congestion bits of a frame's IP header. */
function mark(made: Bytes, ecn: number): Bytes {
  const copy = made.slice();
  if (copy[ETHERNET_HEADER]! >> 4 === 6) {
    copy[ETHERNET_HEADER + 1]! |= ecn << 4;
    return copy;
  }
  copy[ETHERNET_HEADER + 1]! |= ecn;
  copy.fill(0, ETHERNET_HEADER + 10, ETHERNET_HEADER + 12);
  const sum = checksum(copy.slice(ETHERNET_HEADER, ETHERNET_HEADER + 20));
  copy.set([sum >> 8, sum & 0xff], ETHERNET_HEADER + 10);
  return copy;
}

/** From the pod of the other node to ours, as it comes off the wire. */
function arriving(
  about: Bytes,
  { vni = REMOTE.identity, source = OTHER_NODE.ipv4, ...rest }: {
    vni?: number;
    source?: string;
    checksum?: boolean;
    port?: number;
    options?: number;
  } = {},
): Bytes {
  return vxlanFrame({ source, destination: NODE.ipv4, vni, about, ...rest });
}

function receive(node: TestNode, made: Bytes, gsoSize = 0) {
  return node.run("from_netdev", made, { ifindex: DEVICE_IFINDEX, gsoSize });
}

both("a small packet goes into the tunnel's frame, whole", (family) => {
  using node = new TestNode();
  node.reachOtherNode();
  const ports = new Set<number>();
  for (const made of kinds(POD[family], REMOTE[family])) {
    const { verdict, mark, frame } = node.fromPod(made);
    assertEquals([verdict, mark & MARK.mask], [VERDICT.redirect, MARK.overlay]);
    const outer = readFrame(frame);
    assertEquals([outer.source, outer.destination], [NODE.ipv4, OTHER_NODE.ipv4]);
    assertEquals([outer.protocol, outer.destinationPort, outer.ttl], [PROTOCOL.udp, PORT, 64]);
    ports.add(outer.sourcePort);
    const view = new DataView(outer.payload.buffer);
    assertEquals(view.getUint16(4), outer.payload.length, "UDP's length");
    assertEquals(view.getUint16(6), 0, "UDP's checksum");
    assertEquals([view.getUint32(8), view.getUint32(12)], [0x08000000, POD.identity << 8]);
    assertEquals(outer.payload.slice(16 + 12), made.slice(12), "what is inside");
    assertEquals(frame.length, made.length + ENCAPSULATION);
  }
  assert(ports.size > 1 && [...ports].every((port) => port >= 32768), `from ${[...ports]}`);
  assertEquals(node.counted(DropReason.FORWARDED).egress, 5);
});

both("congestion is told outside of what is told inside", (family) => {
  using node = new TestNode();
  node.reachOtherNode();
  for (const ecn of [0, 1, 2, 3]) {
    const made = mark(
      udpFrame({
        source: POD[family],
        destination: REMOTE[family],
        sourcePort: 1,
        destinationPort: 2,
      }),
      ecn,
    );
    assertEquals(node.fromPod(made).frame[ETHERNET_HEADER + 1], ecn);
  }
});

both("what the way cannot take goes to the tunnel's device as it is", (family) => {
  using node = new TestNode();
  const to = { source: POD[family], destination: REMOTE[family] };
  const small = tcpFrame({ ...to, sourcePort: 1, destinationPort: 2, flags: TCP.syn });
  const leftAlone = (made: Bytes, gsoSize = 0) => {
    const { verdict, mark, frame } = node.run("from_pod", made, { ifindex: POD.ifindex, gsoSize });
    assertEquals([verdict, mark & MARK.mask], [VERDICT.redirect, MARK.overlay]);
    assertEquals(frame, made);
  };
  leftAlone(small); // no route
  node.reachOtherNode();
  const headers = (family === "ipv4" ? 20 : 40) + 8;
  const sized = (length: number) =>
    udpFrame({
      ...to,
      sourcePort: 1,
      destinationPort: 2,
      payload: new Uint8Array(length - headers),
    });
  // what was found out about the peer is believed for a tenth of a second
  for (let i = 0; i < 100 && node.fromPod(small).frame.length === small.length; i++) {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
  }
  assertEquals(node.fromPod(sized(1450)).frame.length, ETHERNET_HEADER + 1500);
  leftAlone(sized(1451));
  leftAlone(sized(1400), 1000);
});

both("a packet for a pod leaves the tunnel's frame on the node's device", (family) => {
  using node = new TestNode();
  for (const made of kinds(REMOTE[family], POD[family])) {
    const { verdict, frame } = receive(node, arriving(made));
    if (!takesOut(family)) {
      assertEquals(verdict, VERDICT.unspec);
      assertEquals(frame, arriving(made));
      continue;
    }
    assertEquals(verdict, VERDICT.redirect);
    assertEquals(frame.slice(ETHERNET_HEADER), made.slice(ETHERNET_HEADER));
    const packet = readFrame(frame);
    assertEquals([packet.destinationMac, packet.sourceMac], [POD.mac, POD.hostMac]);
  }
  if (!takesOut(family)) return;
  const row = node.connection(6, [REMOTE[family], 40000], [POD[family], 8080])!;
  assertEquals([row.initiatorIdentity, row.responderIdentity], [REMOTE.identity, POD.identity]);
  assertEquals(row.packets, [3n, 0n]);
});

both("policies judge what the tunnel's frame holds by the sender's identity", (family) => {
  if (!takesOut(family)) return;
  using node = new TestNode();
  node.setPolicy(2, {
    INGRESS: { enforced: true, defaultCookie: 3 },
    entries: [{ direction: "INGRESS", identity: REMOTE.identity }],
  });
  node.setEndpoint(POD, { policy: 2 });
  const from = { source: REMOTE[family], destination: POD[family] };
  const made = tcpFrame({ ...from, sourcePort: 40000, destinationPort: 8080, flags: TCP.syn });
  const { verdict } = receive(node, arriving(made, { vni: 999 }));
  assertEquals(verdict, VERDICT.shot);
  const [e] = node.takeEvents().filter((e) => e.header.type === EventType.DROP);
  assertEquals(e?.reason, DropReason.POLICY_DENIED_BY_DEFAULT);
  assertEquals([e?.sourceIdentity, e?.destinationIdentity], [999, POD.identity]);
  assertEquals([e?.cookie, e?.endpoint, e?.point], [3, POD.id, ObservationPoint.FROM_OVERLAY]);
  assertEquals(receive(node, arriving(made)).verdict, VERDICT.redirect);
});

both("pods without manifest are what they are on other nodes too: init and unmanaged", (family) => {
  if (!takesOut(family)) return;
  using node = new TestNode();
  const [unmanaged, init] = [3, 5];
  node.setPolicy(2, {
    INGRESS: { enforced: true, defaultCookie: 3 },
    entries: [{ direction: "INGRESS", identity: init }],
  });
  node.setEndpoint(POD, { policy: 2 });
  const from = { source: REMOTE[family], destination: POD[family] };
  const made = tcpFrame({ ...from, sourcePort: 40000, destinationPort: 8080, flags: TCP.syn });
  assertEquals(receive(node, arriving(made, { vni: unmanaged })).verdict, VERDICT.shot);
  const [e] = node.takeEvents().filter((e) => e.header.type === EventType.DROP);
  assertEquals([e?.reason, e?.sourceIdentity], [DropReason.POLICY_DENIED_BY_DEFAULT, unmanaged]);
  assertEquals(receive(node, arriving(made, { vni: init })).verdict, VERDICT.redirect);
});

both("the tunnel's device gets what is out of the ordinary, untouched", (family) => {
  using node = new TestNode();
  const from = { source: REMOTE[family], destination: POD[family] };
  const ports = { sourcePort: 40000, destinationPort: 8080 };
  const plain = tcpFrame({ ...from, ...ports, flags: TCP.ack });
  const to = (destination: string) => udpFrame({ ...from, destination, ...ports });
  const part = { ...from, fragment: { id: 1, offset: 0, more: true } };
  const strange: Record<string, Bytes> = {
    "from nobody known": arriving(plain, { source: WORLD.ipv4 }),
    "with a checksum": arriving(plain, { checksum: true }),
    "congested": mark(arriving(plain), 3),
    "with options": arriving(plain, { options: 1 }),
    "an identity that is nobody's": arriving(plain, { vni: 77 }),
    "for the node": arriving(to(NODE[family])),
    "for nobody here": arriving(to(WORLD[family])),
    "a fragment": arriving(frame(part, ipPacket(part, PROTOCOL.udp, new Uint8Array(64)))),
    "an error": arriving(unreachableFrame({ ...from, about: to(REMOTE[family]) })),
    "cut off": arriving(plain.slice(0, ETHERNET_HEADER + 12)),
    "ARP": arriving(Uint8Array.from({ length: 42 }, (_, i) => i === 12 ? 8 : i === 13 ? 6 : 0)),
    "longer than it says": Uint8Array.from([...arriving(plain), 0, 0]),
  };
  for (const [what, made] of Object.entries(strange)) {
    const { verdict, frame } = receive(node, made);
    assertEquals(verdict, VERDICT.unspec, what);
    assertEquals(frame, made, what);
  }
  assertEquals(node.maps.pilus_ct.count(), 0);
  assertEquals(node.takeEvents(), []);
});

both("small packets do not overtake the segments before them", (family) => {
  if (!takesOut(family)) return;
  using node = new TestNode();
  const from = { source: REMOTE[family], destination: OTHER_POD[family] };
  const ports = { sourcePort: 40000, destinationPort: 8080 };
  const made = arriving(tcpFrame({ ...from, ...ports, flags: TCP.ack }));
  assertEquals(receive(node, made).verdict, VERDICT.redirect);
  assertEquals(receive(node, made, 1000).verdict, VERDICT.unspec);
  assertEquals(receive(node, made).verdict, VERDICT.unspec);

  // the device delivers the small one, then the segments, which were split
  const comesOut = () => node.run("from_overlay", made, { ifindex: TUNNEL_IFINDEX });
  for (let i = 0; i < 1 + GSO_SEGMENTS; i++) {
    assertEquals(receive(node, made).verdict, VERDICT.unspec);
    comesOut();
    comesOut();
  }
  assertEquals(receive(node, made).verdict, VERDICT.redirect, "nothing is in there any more");
  comesOut();
  assertEquals(receive(node, made).verdict, VERDICT.redirect);

  // what is lost in there holds nobody up for long
  assertEquals(receive(node, made, 1000).verdict, VERDICT.unspec);
  const wait = new Int32Array(new SharedArrayBuffer(4));
  let verdict: number = VERDICT.unspec;
  for (let i = 0; i < 100 && verdict === VERDICT.unspec; i++) {
    Atomics.wait(wait, 0, 0, 20);
    ({ verdict } = receive(node, made));
  }
  assertEquals(verdict, VERDICT.redirect);
});
