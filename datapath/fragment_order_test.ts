/** Later fragments whose first one has not arrived. What becomes of them then: tests/size_test.ts. */

import { assertEquals } from "@std/assert";
import { DropReason, EventType } from "./maps/generated.ts";
import {
  DEVICE_IFINDEX,
  DEVICE_MAC,
  NODE,
  OTHER_POD,
  POD,
  TestNode,
  type TestPod,
  VERDICT,
  WORLD,
} from "./testdata/node.ts";
import { both, type Family } from "./testdata/families.ts";
import { ETHERNET_HEADER, frame, ipPacket, PROTOCOL } from "./testdata/packets.ts";

/** Of HELD_EACH in bpf/lib/fragment_order.h. */
const CELLS = 48;
const HOLD_MS = 500;

type Ends = { source: string; destination: string; destinationMac?: Uint8Array };

/** A fragment at 1,000 bytes of a datagram that has more. */
function later(ends: Ends, id: number, length = 64): Uint8Array<ArrayBuffer> {
  const envelope = { ...ends, fragment: { id, offset: 1000, more: true } };
  const body = new Uint8Array(length).map((_, i) => i * 7 + id);
  return frame(envelope, ipPacket(envelope, PROTOCOL.udp, body));
}

const fromPod = (family: Family, pod: TestPod = POD): Ends => ({
  source: pod[family],
  destination: WORLD[family],
});

function held(node: TestNode) {
  const map = node.maps.pilus_held_fragments;
  return Array.from({ length: map.maxEntries }, (_, i) => map.get(i)!)
    .filter(({ until }) => until !== 0n);
}

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
    await collect();
    assertEquals([held(node).length, dropped(node).egress], [CELLS, 0]);
    await new Promise((resolve) => setTimeout(resolve, HOLD_MS + 50));
    node.fromPod(later(fromPod(family), 100));
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
  await new Promise((resolve) => setTimeout(resolve, HOLD_MS + 50));
  await node.program("collect_garbage").runElsewhere(new Uint8Array(24));
  assertEquals([held(node).length, dropped(node)], [0, { ingress: 0, egress: 0 }]);
});
