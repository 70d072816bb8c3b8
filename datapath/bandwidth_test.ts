/** The bandwidth of pods: times of departure, and buckets of what arrives. */

import { assert, assertEquals } from "@std/assert";
import { DropReason, EndpointFlags } from "./maps/generated.ts";
import { both, type Family } from "./testdata/families.ts";
import {
  DEVICE_IFINDEX,
  DEVICE_MAC,
  OTHER_POD,
  POD,
  REMOTE,
  skbContext,
  TestNode,
  VERDICT,
  WORLD,
} from "./testdata/node.ts";
import { ETHERNET_HEADER, udpFrame } from "./testdata/packets.ts";

/** Bytes per second: so slow that a test takes no part of what it waits for. */
const RATE = 1000n;
/** Of struct __sk_buff. */
const TSTAMP = 152;
/** DEPARTURE_HORIZON_NS and ARRIVAL_BURST_NS of bpf/lib/bandwidth.h. */
const HORIZON_S = 2, BURST_S = 0.25;
/** Packets that may go besides while the test runs. */
const SLACK = 5;

function limited(limits: { egress?: bigint; ingress?: bigint }) {
  const node = new TestNode({ routing_mode: 0 });
  const { egress = 0n, ingress = 0n } = limits;
  node.maps.pilus_bandwidth.set(POD.ifindex, { egress, ingress, departs: 0n, arrived: 0n });
  const flags = (egress ? EndpointFlags.EGRESS_LIMITED : 0) |
    (ingress ? EndpointFlags.INGRESS_LIMITED : 0);
  node.setEndpoint(POD, { flags });
  return node;
}

const made = (family: Family, from: typeof POD | typeof WORLD, to: typeof WORLD, bytes: number) => {
  const header = (family === "ipv4" ? 20 : 40) + 8 + ETHERNET_HEADER;
  return udpFrame({
    source: from[family],
    destination: to[family],
    sourcePort: 5000,
    destinationPort: 7000,
    destinationMac: DEVICE_MAC,
    payload: new Uint8Array(bytes - header),
  });
};

/** The verdict, and the packet's time of departure. */
function leave(node: TestNode, frame: Uint8Array): [verdict: number, departs: bigint] {
  const { retval, ctx } = node.program("from_pod").testRun({
    data: frame,
    ctx: skbContext(POD.ifindex),
  });
  return [retval, new DataView(ctx.buffer).getBigUint64(TSTAMP, true)];
}

both(
  "what leaves the node departs at the pod's rate, and is dropped beyond the horizon",
  (family) => {
    using node = limited({ egress: RATE });
    const passes = VERDICT.ok; // no route is known: the stack forwards it
    const times: bigint[] = [];
    for (;;) {
      const [verdict, departs] = leave(node, made(family, POD, WORLD, 200));
      if (verdict !== passes) break;
      times.push(departs);
    }
    assertEquals(node.takeEvents().at(-1)?.reason, DropReason.RATE_LIMITED);
    // 200 bytes take 200 ms: 2 s hold ten of them, and one that goes at once
    const fit = 1 + HORIZON_S * Number(RATE) / 200;
    assert(times.length >= fit && times.length < fit + SLACK, `${times.length}`);
    assertEquals(times[0], 0n);
    for (let i = 2; i < times.length; i++) assertEquals(times[i]! - times[i - 1]!, 200_000_000n);
  },
);

both("what stays in the node, and other pods' packets, are not paced", (family) => {
  using node = limited({ egress: RATE });
  for (let i = 0; i < 30; i++) {
    assertEquals(leave(node, made(family, POD, OTHER_POD, 200)), [VERDICT.redirect, 0n]);
    const frame = made(family, OTHER_POD, REMOTE, 200);
    assertEquals(node.fromPod(frame, OTHER_POD).verdict !== VERDICT.shot, true);
  }
  assertEquals(node.takeEvents().filter(({ reason }) => reason === DropReason.RATE_LIMITED), []);
});

both("what arrives counts against the pod's bucket, wherever it comes from", (family) => {
  for (const from of ["outside", "a pod of the node", "the stack"] as const) {
    using node = limited({ ingress: RATE });
    const sender = from === "a pod of the node" ? OTHER_POD : WORLD;
    const frame = made(family, sender, POD, 100);
    const send = () =>
      from === "a pod of the node"
        ? node.fromPod(frame, OTHER_POD)
        : from === "outside"
        ? node.run("from_netdev", frame, { ifindex: DEVICE_IFINDEX })
        : node.run("to_pod", frame, { ifindex: POD.ifindex, ingressIfindex: DEVICE_IFINDEX });
    let passed = 0;
    while (send().verdict !== VERDICT.shot) passed++;
    assertEquals(node.takeEvents().at(-1)?.reason, DropReason.RATE_LIMITED, from);
    // 100 bytes take 100 ms
    const fit = Math.floor(BURST_S * Number(RATE) / 100) + 1;
    assert(passed >= fit && passed < fit + SLACK, `${passed} from ${from}`);
  }
});

both("a flag without a row limits nothing", (family) => {
  using node = limited({ egress: RATE, ingress: RATE });
  node.maps.pilus_bandwidth.delete(POD.ifindex);
  for (let i = 0; i < 30; i++) {
    assertEquals(leave(node, made(family, POD, WORLD, 200)), [VERDICT.ok, 0n]);
    const { verdict } = node.run("from_netdev", made(family, WORLD, POD, 200), {
      ifindex: DEVICE_IFINDEX,
    });
    assertEquals(verdict, VERDICT.redirect);
  }
});
