/** Later fragments whose first one has not arrived. What becomes of them then: tests/size_test.ts. */

import { assertEquals } from "@std/assert";
import { DropReason, EventType } from "./maps/generated.ts";
import { createVeth } from "./net/link.ts";
import {
  DEVICE_IFINDEX,
  DEVICE_MAC,
  NODE,
  OTHER_POD,
  POD,
  REMOTE,
  SERVICE,
  TestNode,
  type TestPod,
  TUNNEL_IFINDEX,
  TUNNEL_MAC,
  VERDICT,
  WORLD,
} from "./testdata/node.ts";
import { both, type Family } from "./testdata/families.ts";
import { ETHERNET_HEADER, frame, ipPacket, PROTOCOL } from "./testdata/packets.ts";

/** Of HELD_EACH in bpf/lib/fragment_order.h. */
const CELLS = 48;
/** Of SENDER_DATAGRAMS and DATAGRAM_S in bpf/lib/fragment.h. */
const DATAGRAMS = 64, DATAGRAM_S = 60;

type Ends = { source: string; destination: string; destinationMac?: Uint8Array };

/** A fragment at `offset` of a datagram that has more. */
function part(ends: Ends, id: number, offset: number, length = 64): Uint8Array<ArrayBuffer> {
  const envelope = { ...ends, fragment: { id, offset, more: true } };
  const body = new Uint8Array(length).map((_, i) => i * 7 + id);
  return frame(envelope, ipPacket(envelope, PROTOCOL.udp, body));
}

const later = (ends: Ends, id: number, length?: number) => part(ends, id, 1000, length);
const first = (ends: Ends, id: number) => part(ends, id, 0);

const fromPod = (family: Family, pod: TestPod = POD): Ends => ({
  source: pod[family],
  destination: WORLD[family],
});

function held(node: TestNode) {
  const map = node.maps.pilus_held_fragments;
  return Array.from({ length: map.maxEntries }, (_, i) => map.get(i)!)
    .filter(({ until }) => until !== 0n);
}

/** Makes what waits wait for that time, as machines take any for a test. */
function waitUntil(node: TestNode, until: bigint): void {
  const map = node.maps.pilus_held_fragments;
  for (let i = 0; i < map.maxEntries; i++) {
    const row = map.get(i)!;
    if (row.until > OVER) map.set(i, { ...row, until });
  }
}
const OVER = 1n, LONG = 1n << 62n;

const dropped = (node: TestNode) => node.counted(DropReason.FRAGMENT_NOT_FOUND);
const drops = (node: TestNode) =>
  node.takeEvents().filter(({ header }) => header.type === EventType.DROP).map((e) => e.reason);

both("a later fragment waits for the first one as it came, and is no drop yet", (family) => {
  using node = new TestNode();
  const sent = [8, 64, 1480, 2000].map((length, i) => later(fromPod(family), i + 1, length));
  for (const made of sent) assertEquals(node.fromPod(made).verdict, VERDICT.shot);
  assertEquals(
    held(node).map(({ packet, length }) => packet.slice(0, length)),
    sent.map((made) => made.slice(ETHERNET_HEADER)),
  );
  assertEquals([drops(node), dropped(node)], [[], { ingress: 0, egress: 0 }]);
});

both("a sender's fragments without a first one are bounded, and take no other's room", (family) => {
  using node = new TestNode();
  for (let id = 1; id <= CELLS; id++) node.fromPod(later(fromPod(family), id));
  waitUntil(node, LONG);
  assertEquals([held(node).length, drops(node)], [CELLS, []]);
  assertEquals(node.fromPod(later(fromPod(family), 100)).verdict, VERDICT.shot);
  assertEquals(drops(node), [DropReason.FRAGMENT_NOT_FOUND]);
  node.fromPod(later(fromPod(family, OTHER_POD), 1), OTHER_POD);
  assertEquals([held(node).length, drops(node)], [CELLS + 1, []]);
});

both("what is longer than what is kept is dropped", (family) => {
  using node = new TestNode();
  assertEquals(node.fromPod(later(fromPod(family), 1, 3000)).verdict, VERDICT.shot);
  assertEquals([held(node), drops(node)], [[], [DropReason.FRAGMENT_NOT_FOUND]]);
});

both(
  "what was kept in vain is counted as dropped, by who comes next and by the agent's passes",
  async (family) => {
    using node = new TestNode();
    const collect = () => node.program("collect_garbage").runElsewhere(new Uint8Array(24));
    for (let id = 1; id <= CELLS; id++) node.fromPod(later(fromPod(family), id));
    waitUntil(node, LONG);
    await collect();
    assertEquals([held(node).length, dropped(node).egress], [CELLS, 0]);
    waitUntil(node, OVER);
    node.fromPod(later(fromPod(family), 100));
    waitUntil(node, LONG);
    assertEquals([held(node).length, dropped(node).egress], [CELLS, 1]);
    await collect();
    assertEquals([held(node).length, dropped(node).egress], [1, CELLS]);
  },
);

both("what is to the node itself the stack gets at once", async (family) => {
  using node = new TestNode();
  const ends = { source: WORLD[family], destination: NODE[family], destinationMac: DEVICE_MAC };
  const made = later(ends, 1);
  const { verdict } = node.run("from_netdev", made, { ifindex: DEVICE_IFINDEX });
  assertEquals([verdict, held(node).length], [VERDICT.unspec, 1]);
  waitUntil(node, OVER);
  await node.program("collect_garbage").runElsewhere(new Uint8Array(24));
  assertEquals([held(node).length, dropped(node)], [0, { ingress: 0, egress: 0 }]);
});

both("what has a source that is not its sender's neither waits nor leaves its ports", (family) => {
  using node = new TestNode();
  node.setService(NODE[family], 30080, 20, [{ address: POD[family], port: 80 }], { id: 3 });
  for (const source of [OTHER_POD[family], NODE[family], REMOTE[family]]) {
    for (const destination of [POD[family], NODE[family], SERVICE[family]]) {
      for (const made of [later, first]) {
        const frame = made({ source, destination, destinationMac: DEVICE_MAC }, 1);
        node.run("from_netdev", frame, { ifindex: DEVICE_IFINDEX });
        // the node's own may be masqueraded for somebody, who is the world then
        if (source !== NODE[family]) {
          node.run("to_pod", frame, { ifindex: POD.ifindex, ingressIfindex: DEVICE_IFINDEX });
        }
        assertEquals(
          [held(node), [...node.maps.pilus_datagrams.keys()]],
          [[], []],
          `${source} to ${destination}`,
        );
      }
    }
  }
});

both("a first fragment calls for what its own device has received alone", (family) => {
  using node = new TestNode();
  const wire: Ends = { source: WORLD[family], destination: POD[family] };
  node.run("from_netdev", later(wire, 1), { ifindex: DEVICE_IFINDEX });
  node.fromPod(later(fromPod(family), 2));
  waitUntil(node, LONG);
  const elsewhere = { ...wire, destinationMac: TUNNEL_MAC };
  node.run("from_netdev", first(elsewhere, 1), { ifindex: TUNNEL_IFINDEX });
  assertEquals(held(node).length, 2);
  node.run("from_netdev", first(wire, 1), { ifindex: DEVICE_IFINDEX });
  assertEquals(held(node).length, 1);
});

both("pods whose devices' numbers are alike have datagrams of their own each", async (family) => {
  using node = new TestNode();
  const twin = { ...OTHER_POD, ifindex: POD.ifindex + 256 };
  createVeth(node.netlink, {
    ...{ name: "twin", ifindex: twin.ifindex, mac: twin.hostMac, mtu: 1500 },
    peer: { name: "twin-peer" },
  });
  node.setEndpoint(twin);
  const datagrams = () => [...node.maps.pilus_datagrams.keys()].length;
  for (const pod of [POD, twin]) {
    for (let id = 1; id <= DATAGRAMS; id++) node.fromPod(first(fromPod(family, pod), id), pod);
  }
  assertEquals(datagrams(), 2 * DATAGRAMS);
  for (let id = 1; id <= DATAGRAMS; id++) node.fromPod(later(fromPod(family), id));
  assertEquals([held(node), drops(node)], [[], []]);
  // of pods that have gone, too
  const collect = () => node.program("collect_garbage").runElsewhere(new Uint8Array(24));
  await collect();
  assertEquals(datagrams(), 2 * DATAGRAMS);
  for (const [cell, row] of [...node.maps.pilus_datagrams.entries()]) {
    node.maps.pilus_datagrams.set(cell, { ...row, since: row.since - DATAGRAM_S - 10 >>> 0 });
  }
  await collect();
  assertEquals(datagrams(), 0);
});

both("who is outside takes no room of a pod", (family) => {
  using node = new TestNode();
  for (let i = 0; i < 2000; i++) {
    const source = family === "ipv4"
      ? `198.51.${i >> 8}.${i & 0xff}`
      : `2001:db8:ffff::${i.toString(16)}`;
    const made = later({ source, destination: POD[family] }, 1);
    node.run("from_netdev", made, { ifindex: DEVICE_IFINDEX });
  }
  node.takeEvents();
  for (const pod of [POD, OTHER_POD]) {
    for (let id = 1; id <= CELLS; id++) node.fromPod(later(fromPod(family, pod), id), pod);
  }
  assertEquals(drops(node), []);
});
