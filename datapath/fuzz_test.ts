/**
 * Random and mutated packets through every tc program. FUZZ_SEED repeats a run; FUZZ_RUNS says how
 * many packets go through each program [100,000].
 */

import { assert, assertEquals } from "@std/assert";
import { isErrno } from "./bpf/kernel_error.ts";
import { DropReason, EventType, IpcacheFlags } from "./maps/generated.ts";
import { parseCidr, parseIp } from "./net/ip.ts";
import { balancerNode, type Mode, MODES, PORTS, VIP } from "./testdata/balancer.ts";
import {
  DEVICE_IFINDEX,
  MARK,
  NODE,
  OTHER_NODE,
  OTHER_POD,
  POD,
  PREFIX,
  REMOTE,
  SERVICE,
  TestNode,
  TUNNEL_IFINDEX,
  VERDICT,
  WORLD,
} from "./testdata/node.ts";
import {
  arpFrame,
  echoFrame,
  ETHERNET_HEADER,
  frame,
  ipPacket,
  PROTOCOL,
  solicitationFrame,
  TCP,
  tcpFrame,
  udpFrame,
  unreachableFrame,
  vxlanFrame,
} from "./testdata/packets.ts";
import { generator } from "./testdata/random.ts";
import { Trampoline } from "./testdata/trampoline.ts";
import { FAMILIES } from "./testdata/families.ts";

type Bytes = Uint8Array<ArrayBuffer>;

const RUNS = Number(Deno.env.get("FUZZ_RUNS") ?? 100_000);
const SEED = Number(Deno.env.get("FUZZ_SEED") ?? Date.now() % 2 ** 31);

const REASONS = new Set<number>(Object.values(DropReason));

/** Where a program runs, and the verdicts that it may give. */
const PROGRAMS = {
  from_pod: [POD.ifindex, [VERDICT.ok, VERDICT.shot, VERDICT.redirect]],
  to_pod: [POD.ifindex, [VERDICT.ok, VERDICT.shot]],
  from_netdev: [DEVICE_IFINDEX, [VERDICT.unspec, VERDICT.shot, VERDICT.redirect]],
  to_netdev: [DEVICE_IFINDEX, [VERDICT.unspec, VERDICT.shot]],
  from_overlay: [TUNNEL_IFINDEX, [VERDICT.ok, VERDICT.shot, VERDICT.redirect]],
  to_overlay: [TUNNEL_IFINDEX, [VERDICT.ok, VERDICT.shot]],
} as const;

const ADDRESSES = [POD, OTHER_POD, REMOTE, NODE, OTHER_NODE, WORLD, PREFIX, SERVICE, VIP];

/** Whole packets of every kind that a program looks at. */
function corpus(random: (below: number) => number): Bytes[] {
  const frames: Bytes[] = [];
  const pick = <T>(values: readonly T[]): T => values[random(values.length)]!;
  for (const family of FAMILIES) {
    // what dice may leave out: each service is asked
    for (const destinationPort of Object.values(PORTS)) {
      const question = { source: WORLD[family], destination: VIP[family], destinationPort };
      frames.push(
        tcpFrame({ ...question, sourcePort: 40000, flags: TCP.syn }),
        udpFrame({ ...question, sourcePort: 40000 }),
      );
    }
    for (const from of ADDRESSES) {
      for (const to of ADDRESSES) {
        const envelope = {
          source: from[family],
          destination: to[family],
          ttl: pick([0, 1, 2, 64, 255]),
          options: pick([0, 0, 1, 4, 9]),
        };
        const ports = {
          sourcePort: pick([1, 80, 40000]),
          destinationPort: pick([80, 81, 82, 83, 84, 8080]),
        };
        const datagram = udpFrame({ ...envelope, ...ports });
        frames.push(
          tcpFrame({ ...envelope, ...ports, flags: pick([TCP.syn, TCP.ack, TCP.rst, TCP.fin, 0]) }),
          datagram,
          echoFrame({ ...envelope, id: pick([1, 2]), reply: pick([true, false]) }),
          unreachableFrame({ ...envelope, about: datagram }),
          unreachableFrame({ ...envelope, about: pick(frames.length ? frames : [datagram]) }),
          frame(
            envelope,
            ipPacket(
              { ...envelope, fragment: { id: random(3), offset: pick([0, 8, 64]), more: true } },
              pick([PROTOCOL.udp, PROTOCOL.tcp, PROTOCOL.icmp, PROTOCOL.icmpv6]),
              new Uint8Array(24).fill(random(256)),
            ),
          ),
          frame(
            envelope,
            ipPacket(envelope, pick([0, 4, 41, 47, 50, 132, 253]), new Uint8Array(16)),
          ),
          frame(
            envelope,
            ipPacket(
              envelope,
              family === "ipv4" ? 4 : 41,
              pick(frames.length ? frames : [datagram])
                .slice(ETHERNET_HEADER),
            ),
          ),
        );
      }
    }
  }
  for (let i = 0; i < 100; i++) {
    frames.push(vxlanFrame({
      source: OTHER_NODE.ipv4,
      destination: NODE.ipv4,
      vni: pick([0, 1, 2, 6, REMOTE.identity]),
      about: pick(frames),
      checksum: random(8) === 0,
    }));
  }
  frames.push(
    arpFrame({ operation: 1, senderMac: POD.mac, sender: POD.ipv4, target: "10.1.0.1" }),
    solicitationFrame({ source: POD.ipv6, destination: "ff02::1:ff00:1", target: "fd00:1::1" }),
  );
  return frames;
}

/** Changes some bytes, most of them in the headers, or the length. */
function mutate(made: Bytes, random: (below: number) => number): Bytes {
  let copy = made.slice();
  switch (random(8)) {
    case 0:
      return copy;
    case 1:
      return copy.slice(0, ETHERNET_HEADER + random(copy.length - ETHERNET_HEADER + 1));
    case 2: {
      copy = new Uint8Array(ETHERNET_HEADER + random(300));
      for (let i = 0; i < copy.length; i++) copy[i] = random(256);
      copy.set([random(4) ? 8 : 0x86, random(4) ? 0 : 0xdd], 12);
      return copy;
    }
    case 3: {
      const longer = new Uint8Array(copy.length + random(1500));
      longer.set(copy);
      copy = longer;
    }
  }
  for (let n = 1 + random(4); n > 0; n--) {
    const at = 12 + random(Math.min(copy.length - 12, random(3) ? 60 : copy.length));
    copy[at] = random(3) ? random(256) : copy[at]! ^ (1 << random(8));
  }
  return copy;
}

for (const [name, [ifindex, verdicts]] of Object.entries(PROGRAMS)) {
  Deno.test(`${name} drops for a known reason or passes, whatever comes`, () => {
    console.log(`FUZZ_SEED=${SEED}`);
    const random = generator(SEED);
    using node = name === "from_netdev" ? balancerNode("snat") : new TestNode();
    using trampoline = new Trampoline();
    const program = name === "from_overlay"
      ? trampoline.aim(node.program(name), { identity: REMOTE.identity })
      : node.program(name);
    // some policy to run into, and the shapes of services and nodes that a run may meet
    node.setPolicy(2, {
      INGRESS: { enforced: true, defaultCookie: 1 },
      entries: [{ direction: "INGRESS", protocol: 6, port: 0, prefixLength: 1 }],
    });
    node.setEndpoint(OTHER_POD, { policy: 2 });
    const missing = {
      identity: 5,
      ifindex: 77,
      node: new Uint8Array(16),
      flags: IpcacheFlags.LOCAL,
    };
    node.maps.pilus_ipcache.set(parseIp("10.9.9.9"), missing);
    if (name !== "from_netdev") node.reachOtherNode(); // balancerNode() has a way
    const frames = corpus(random);
    let drops = 0, told = 0, refused = 0, answered = 0;
    const total = (reason: number) => {
      const { ingress, egress } = node.counted(reason);
      return ingress + egress;
    };
    const tooBig = () => total(DropReason.FRAGMENTATION_NEEDED);
    const unserved = () =>
      total(DropReason.SERVICE_BACKEND_NOT_FOUND) + tooBig() +
      (name === "from_pod" ? total(DropReason.UNROUTABLE) : 0);
    const counted = () => {
      let sum = 0;
      for (const reason of REASONS) {
        if (reason === DropReason.FORWARDED || reason === DropReason.MAX) continue;
        sum += total(reason);
      }
      return sum;
    };
    const drain = () => {
      for (const e of node.takeEvents()) {
        if (e.header.type !== EventType.DROP) continue;
        told++;
        assert(e.reason > 1 && REASONS.has(e.reason), `unknown reason ${e.reason}`);
      }
    };
    let before = 0;
    for (let run = 0; run < RUNS; run++) {
      const made = mutate(frames[random(frames.length)]!, random);
      const mark = name === "to_netdev" ? MARK.masquerade : 0;
      let verdict: number;
      try {
        ({ verdict } = node.run(program, made, { ifindex, mark }));
      } catch (error) {
        if (!isErrno(error, "EINVAL") || !isRefusedByKernel(made)) throw error;
        refused++;
        continue;
      }
      if (!(verdicts as readonly number[]).includes(verdict)) {
        throw new Error(`verdict ${verdict} in run ${run} of seed ${SEED}: ${hex(made)}`);
      }
      if (verdict === VERDICT.shot) drops++;
      // a packet that is refused is counted as dropped, and becomes the answer
      if (name.startsWith("from_") && unserved() !== before) {
        before = unserved();
        if (verdict === VERDICT.redirect) answered++;
      }
      if (run % 10_000 === 0) drain();
    }
    drain();
    const lost = (node.maps.pilus_lost.get(EventType.DROP) ?? []).reduce((a, b) => a + b, 0n);
    assertEquals(lost, 0n);
    // fragments that wait for their first one are no drops yet; those in vain are counted alone
    const inVain = counted() - told - total(DropReason.IGNORED_MULTICAST) - tooBig();
    const waited = drops + answered - (counted() - inVain);
    if (name === "from_pod" || name === "from_netdev") {
      assert(inVain >= 0 && inVain <= total(DropReason.FRAGMENT_NOT_FOUND), `${inVain} in vain`);
      assert(waited >= inVain, `${waited} waited, ${inVain} in vain`);
    } else {
      assertEquals([inVain, waited], [0, 0]);
    }
    assert(drops > RUNS / 100 && drops < RUNS, `${drops} of ${RUNS} packets were dropped`);
    assert(refused < RUNS / 5, `${refused} of ${RUNS} packets were refused`);
  });
}

Deno.test("xdp_ingress passes, sends or drops for a counted reason, whatever comes", () => {
  console.log(`FUZZ_SEED=${SEED}`);
  const random = generator(SEED);
  for (const mode of Object.keys(MODES) as Mode[]) {
    using node = balancerNode(mode);
    const { address } = parseCidr("203.0.113.9");
    node.maps.pilus_prefilter.set({ address, prefixLength: 128 }, 1);
    node.maps.pilus_node.set(0, { ...node.maps.pilus_node.get(0)!, denied: 1 });
    const program = node.program("xdp_ingress");
    const frames = corpus(random);
    const verdicts = [0, 0, 0, 0, 0];
    let refused = 0;
    for (let run = 0; run < RUNS * 10 / 3; run++) {
      const made = mutate(frames[random(frames.length)]!, random);
      try {
        verdicts[program.testRun({ data: made }).retval]!++;
      } catch (error) {
        if (!isErrno(error, "EINVAL") || made.length >= 60) throw error;
        refused++;
      }
    }
    const [aborted, dropped, passed, ...sent] = verdicts as [number, number, number, ...number[]];
    assertEquals(aborted, 0);
    const reasons = [DropReason.DENIED_BY_PREFILTER, DropReason.WRITE_ERROR];
    const counted = reasons.map((reason) => {
      const { ingress, egress } = node.counted(reason);
      return ingress + egress;
    });
    assertEquals(dropped, counted[0]! + counted[1]!);
    assert(dropped > 0 && passed > 0 && sent.some((n) => n > 0), `verdicts ${verdicts}`);
    assert(refused < RUNS, `${refused} packets were refused`);
    assertEquals(node.takeEvents(), []);
  }
});

/** Test runs of newer kernels refuse frames whose IP header is cut off, and empty ones. */
function isRefusedByKernel(made: Bytes): boolean {
  const type = made[12]! << 8 | made[13]!;
  const header = type === 0x0800 ? 20 : type === 0x86dd ? 40 : 1;
  return made.length < ETHERNET_HEADER + header;
}

function hex(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
