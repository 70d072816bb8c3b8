import { assert, assertEquals } from "@std/assert";
import { maglevHash, slotOf } from "../agent/node/services/kernel/flow_hash.ts";
import { DropReason, ServiceFlags } from "./maps/generated.ts";
import { formatIp, parseCidr, parseIp } from "./net/ip.ts";
import { replaceNeighbour } from "./net/neighbour.ts";
import { replaceRoute } from "./net/route.ts";
import {
  BACKEND_MAC,
  BACKEND_PORT,
  balancerNode,
  GATEWAY_MAC,
  MAGLEV_SIZE,
  type Mode,
  MODES,
  PORTS,
  slot,
  VIP,
} from "./testdata/balancer.ts";
import {
  DEVICE_IFINDEX,
  DEVICE_MAC,
  EMPTY_SERVICE_PORT,
  NODE,
  OTHER_NODE,
  POD,
  REMOTE,
  ROUTER,
  SERVICE,
  TestNode,
  TUNNEL_IFINDEX,
  VERDICT,
  WORLD,
} from "./testdata/node.ts";
import {
  ETHERNET_HEADER,
  frame,
  ipPacket,
  type Packet,
  PROTOCOL,
  readFrame,
  TCP,
  tcpFrame,
  udpFrame,
  unreachableFrame,
} from "./testdata/packets.ts";
import { generator } from "./testdata/random.ts";
import { Trampoline } from "./testdata/trampoline.ts";
import { both, FAMILIES, type Family } from "./testdata/families.ts";

type Bytes = Uint8Array<ArrayBuffer>;
type Protocol = "tcp" | "udp";

/** XDP's verdicts, include/uapi/linux/bpf.h. */
const XDP = { drop: 1, pass: 2, tx: 3, redirect: 4 } as const;

/** The two implementations: the same packets, the same answers. */
const PROGRAMS = {
  xdp_ingress: { sent: [XDP.tx, XDP.redirect] as number[], passed: XDP.pass as number },
  from_netdev: { sent: [VERDICT.redirect] as number[], passed: VERDICT.unspec as number },
} as const;
type Program = keyof typeof PROGRAMS;

function run(node: TestNode, program: Program, made: Uint8Array) {
  if (program === "from_netdev") return node.run(program, made, { ifindex: DEVICE_IFINDEX });
  const { retval, data } = node.program(program).testRun({ data: made });
  return { verdict: retval, frame: data };
}

/** What the program sends on; fails when it does something else with the packet. */
function sent(node: TestNode, program: Program, made: Uint8Array): Bytes {
  const result = run(node, program, made);
  const events = node.takeEvents().map(({ reason }) => reason);
  assert(
    PROGRAMS[program].sent.includes(result.verdict),
    `verdict ${result.verdict} of ${program}, drops ${events}`,
  );
  return result.frame;
}

function make(
  protocol: Protocol,
  [source, sourcePort]: readonly [string, number],
  [destination, destinationPort]: readonly [string, number],
  flags: number = TCP.syn,
  payload = new Uint8Array(20),
): Bytes {
  const dontFragment = true;
  const options = { source, sourcePort, destination, destinationPort, payload, dontFragment };
  return protocol === "tcp" ? tcpFrame({ ...options, flags }) : udpFrame(options);
}

const ends = (p: Packet) => [p.source, p.sourcePort, p.destination, p.destinationPort];

/** A packet in an IP tunnel as a frame of its own. */
function unwrapped(made: Bytes, family: Family): Bytes {
  const header = family === "ipv4" ? 20 : 40;
  const inner = made.slice(header);
  inner.set(made.slice(0, ETHERNET_HEADER));
  return inner;
}

for (const program of Object.keys(PROGRAMS) as Program[]) {
  for (const family of FAMILIES) {
    for (const protocol of ["tcp", "udp"] as const) {
      const name = (what: string) => `${program}: ${what} (${protocol}, ${family})`;
      const [client, vip, node_, backend] = [
        WORLD[family],
        VIP[family],
        NODE[family],
        REMOTE[family],
      ];
      const later = protocol === "tcp" ? TCP.ack : 0;

      Deno.test(name("SNAT sends to the backend and its answer to the client"), () => {
        using node = balancerNode("snat");
        for (const flags of [TCP.syn, TCP.ack, TCP.fin | TCP.ack]) {
          const made = make(protocol, [client, 5000], [vip, PORTS.elsewhere], flags);
          const there = readFrame(sent(node, program, made));
          assertEquals(ends(there), [node_, 5000, backend, BACKEND_PORT]);
          assertEquals(there.ttl, 63);
          const answer = make(protocol, [backend, BACKEND_PORT], [node_, 5000], flags | TCP.ack);
          const back = readFrame(sent(node, program, answer));
          assertEquals(ends(back), [vip, PORTS.elsewhere, client, 5000]);
          assertEquals(back.ttl, 63);
          if (program === "xdp_ingress") {
            assertEquals([there.destinationMac, there.sourceMac], [BACKEND_MAC, DEVICE_MAC]);
            assertEquals([back.destinationMac, back.sourceMac], [GATEWAY_MAC, DEVICE_MAC]);
          }
        }
        assertEquals(node.maps.pilus_nat.count(), 1);
        // another client with the same port gets another one, and keeps it
        const other = { ...WORLD, ipv4: "198.51.100.8", ipv6: "2001:db8:ffff::8" }[family];
        const ports = [TCP.syn, TCP.syn, later, later].map((flags) =>
          readFrame(
            sent(node, program, make(protocol, [other, 5000], [vip, PORTS.elsewhere], flags)),
          ).sourcePort
        );
        assert(ports[0] !== 5000);
        assertEquals(new Set(ports).size, 1);
        const answer = make(protocol, [backend, BACKEND_PORT], [node_, ports[0]!], TCP.ack);
        const back = readFrame(sent(node, program, answer));
        assertEquals(ends(back), [vip, PORTS.elsewhere, other, 5000]);
        // nobody asked: the node's own affair
        const stray = make(protocol, [backend, BACKEND_PORT], [node_, 9], TCP.ack);
        assertEquals(run(node, program, stray).verdict, PROGRAMS[program].passed);
      });

      Deno.test(name("DSR in an IP tunnel, which the backend's node opens"), () => {
        using node = balancerNode("ipip");
        for (const flags of [TCP.syn, TCP.ack]) {
          const made = make(protocol, [client, 5000], [vip, PORTS.elsewhere], flags);
          const there = sent(node, program, made);
          const outer = readFrame(there);
          assertEquals([outer.source, outer.destination], [node_, backend]);
          assertEquals(outer.protocol, family === "ipv4" ? 4 : 41);
          assertEquals(
            unwrapped(there, family).slice(ETHERNET_HEADER),
            made.slice(ETHERNET_HEADER),
          );
          // at the other end, as if that node were this one
          const arrived = frame(
            { source: node_, destination: POD[family] },
            ipPacket(
              { source: OTHER_NODE[family], destination: POD[family] },
              outer.protocol,
              made.slice(ETHERNET_HEADER),
            ),
          );
          const delivered = readFrame(sent(node, "from_netdev", arrived));
          assertEquals(ends(delivered), [client, 5000, POD[family], BACKEND_PORT]);
          assertEquals(delivered.destinationMac, POD.mac);
          const answer = make(protocol, [POD[family], BACKEND_PORT], [client, 5000], flags | later);
          const back = node.fromPod(answer);
          assertEquals(back.verdict, VERDICT.redirect);
          assertEquals(ends(readFrame(back.frame)), [vip, PORTS.elsewhere, client, 5000]);
        }
        assertEquals(node.maps.pilus_nat.count(), 0);
      });

      Deno.test(name("DSR with an option, which the backend's node reads"), () => {
        using node = balancerNode("option");
        for (const flags of [TCP.syn, TCP.ack]) {
          const made = make(protocol, [client, 5000], [vip, PORTS.elsewhere], flags);
          const there = sent(node, program, made);
          assertEquals(ends(readFrame(there)), [client, 5000, backend, BACKEND_PORT]);
          const told = protocol === "udp" || flags === TCP.syn;
          assertEquals(there.length - made.length, told ? family === "ipv4" ? 8 : 24 : 0);

          const arriving = node.maps.pilus_backends.get(family === "ipv4" ? 100 : 200)!;
          node.maps.pilus_backends.set(family === "ipv4" ? 100 : 200, {
            ...arriving,
            address: parseIp(POD[family]),
            hop: { ...arriving.hop, resolved: 0n },
          });
          // what the balancer would have sent to the pod of this node
          const header = family === "ipv4" ? 20 : 40;
          const options = there.slice(
            ETHERNET_HEADER + header,
            there.length - made.length + ETHERNET_HEADER + header,
          );
          const plain = make(protocol, [client, 5000], [POD[family], BACKEND_PORT], flags);
          const arrived = new Uint8Array(plain.length + options.length);
          arrived.set(plain.slice(0, ETHERNET_HEADER + header));
          arrived.set(options, ETHERNET_HEADER + header);
          arrived.set(
            plain.slice(ETHERNET_HEADER + header),
            ETHERNET_HEADER + header + options.length,
          );
          if (options.length > 0) lengthen(arrived, family, options.length);
          node.maps.pilus_backends.set(family === "ipv4" ? 100 : 200, arriving);
          const delivered = readFrame(sent(node, "from_netdev", arrived));
          assertEquals(ends(delivered), [client, 5000, POD[family], BACKEND_PORT]);
          const answer = make(protocol, [POD[family], BACKEND_PORT], [client, 5000], flags | later);
          const back = node.fromPod(answer);
          assertEquals(ends(readFrame(back.frame)), [vip, PORTS.elsewhere, client, 5000]);
        }
      });

      Deno.test(name("a backend of this node sees the client's own address"), () => {
        using node = balancerNode("snat");
        const made = make(protocol, [client, 5000], [vip, PORTS.here]);
        if (program === "xdp_ingress") {
          assertEquals(run(node, program, made).verdict, XDP.pass);
          return;
        }
        const there = readFrame(sent(node, program, made));
        assertEquals(ends(there), [client, 5000, POD[family], BACKEND_PORT]);
        assertEquals(there.destinationMac, POD.mac);
        const back = node.fromPod(
          make(protocol, [POD[family], BACKEND_PORT], [client, 5000], TCP.syn | TCP.ack),
        );
        assertEquals(ends(readFrame(back.frame)), [vip, PORTS.here, client, 5000]);
      });
    }
  }
}

/** Makes the header of a frame say that `more` bytes of options stand behind it. */
function lengthen(made: Bytes, family: Family, more: number): void {
  const view = new DataView(made.buffer, ETHERNET_HEADER);
  if (family === "ipv6") {
    view.setUint16(4, view.getUint16(4) + more);
    view.setUint8(6, 60);
    return;
  }
  view.setUint8(0, 0x40 | (20 + more) / 4);
  view.setUint16(2, view.getUint16(2) + more);
  view.setUint16(10, 0);
  let sum = 0;
  for (let at = 0; at < 20 + more; at += 2) sum += view.getUint16(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  view.setUint16(10, ~sum & 0xffff);
}

for (const mode of Object.keys(MODES) as Mode[]) {
  both(`ICMP errors about a flow of mode ${mode} reach both of its ends`, (family) => {
    using node = balancerNode(mode);
    const [client, vip, node_, backend] = [
      WORLD[family],
      VIP[family],
      NODE[family],
      REMOTE[family],
    ];
    const made = make("udp", [client, 5000], [vip, PORTS.elsewhere]);
    const there = sent(node, "from_netdev", made);
    if (mode === "snat") {
      // the backend has no such port
      const error = unreachableFrame({ source: backend, destination: node_, about: there });
      assertEquals(run(node, "xdp_ingress", error).verdict, XDP.pass);
      const told = readFrame(sent(node, "from_netdev", error));
      assertEquals([told.source, told.destination], [vip, client]);
      assertEquals(ends(told.quoted!), [client, 5000, vip, PORTS.elsewhere]);
    }
    // the client has gone
    const answer = make("udp", [vip, PORTS.elsewhere], [client, 5000]);
    const error = unreachableFrame({ source: client, destination: vip, about: answer });
    assertEquals(run(node, "xdp_ingress", error).verdict, XDP.pass);
    let there2 = sent(node, "from_netdev", error);
    if (mode === "ipip") {
      assertEquals(readFrame(there2).destination, backend);
      there2 = unwrapped(there2, family);
      assertEquals(readFrame(there2).destination, vip);
      return;
    }
    const told = readFrame(there2);
    const source = mode === "snat" ? node_ : client;
    assertEquals([told.source, told.destination], [source, backend]);
    assertEquals(ends(told.quoted!), [backend, BACKEND_PORT, source, 5000]);
  });
}

for (const protocol of ["tcp", "udp"] as const) {
  both(
    `one port towards two services with one backend is two connections, ${protocol}`,
    (family) => {
      using node = balancerNode("snat");
      const [client, vip, pod] = [WORLD[family], VIP[family], POD[family]];
      const [one, other] = [PORTS.here, PORTS.inside + 1];
      const here = { address: pod, port: BACKEND_PORT, flags: 1 };
      node.setService(vip, other, 500, [here], { id: 20, flags: ServiceFlags.EXTERNAL });
      const send = (port: number, flags: number = TCP.ack) => {
        const made = make(protocol, [client, 5000], [vip, port], flags);
        const there = readFrame(sent(node, "from_netdev", made));
        assertEquals([there.source, there.destination], [client, pod]);
        assertEquals(there.destinationPort, BACKEND_PORT);
        return there.sourcePort;
      };
      const answer = (port: number, flags: number = TCP.ack) => {
        const made = make(protocol, [pod, BACKEND_PORT], [client, port], flags);
        return ends(readFrame(node.fromPod(made).frame));
      };

      assertEquals(send(one, TCP.syn), 5000);
      assertEquals(answer(5000, TCP.syn | TCP.ack), [vip, one, client, 5000]);
      const moved = send(other, TCP.syn);
      assert(moved !== 5000);
      assertEquals(answer(moved, TCP.syn | TCP.ack), [vip, other, client, 5000]);
      for (let i = 0; i < 3; i++) {
        assertEquals([send(one), send(other)], [5000, moved]);
        assertEquals(answer(moved), [vip, other, client, 5000]);
        assertEquals(answer(5000), [vip, one, client, 5000]);
      }

      // errors about it, from both sides
      const there = make(protocol, [client, moved], [pod, BACKEND_PORT]);
      const byPod = unreachableFrame({ source: pod, destination: client, about: there });
      const told = readFrame(node.fromPod(byPod).frame);
      assertEquals([told.source, told.destination], [vip, client]);
      assertEquals(ends(told.quoted!), [client, 5000, vip, other]);
      const back = make(protocol, [vip, other], [client, 5000]);
      const byClient = unreachableFrame({ source: client, destination: vip, about: back });
      const heard = readFrame(sent(node, "from_netdev", byClient));
      assertEquals(ends(heard.quoted!), [pod, BACKEND_PORT, client, moved]);

      // the row of the connection is lost, the mapping is not
      for (const key of [...node.maps.pilus_ct.keys()]) node.maps.pilus_ct.delete(key);
      if (protocol === "tcp") assertEquals(send(other), moved);
    },
  );
}

both("an error about an answer that no client of a service has had is a drop", (family) => {
  using node = balancerNode("snat");
  const error = (client: string, clientPort: number) =>
    unreachableFrame({
      source: WORLD[family],
      destination: VIP[family],
      about: make("udp", [VIP[family], PORTS.elsewhere], [client, clientPort]),
    });
  const reason = (made: Bytes) => {
    assertEquals(run(node, "from_netdev", made).verdict, VERDICT.shot);
    return node.takeEvents()[0]?.reason;
  };
  // flows that exist elsewhere, of pods, would take it for theirs
  for (const client of [POD[family], WORLD[family], OTHER_NODE[family]]) {
    assertEquals(reason(error(client, 5000)), DropReason.NO_NAT_MAPPING, client);
  }
  const question = make("udp", [WORLD[family], 5000], [VIP[family], PORTS.elsewhere]);
  sent(node, "from_netdev", question);
  sent(node, "from_netdev", error(WORLD[family], 5000));
  assertEquals(reason(error(WORLD[family], 5001)), DropReason.NO_NAT_MAPPING);
});

both("a packet that is too long for the way is refused with its MTU", (family) => {
  using node = balancerNode("ipip");
  const more = family === "ipv4" ? 20 : 40;
  const header = (family === "ipv4" ? 20 : 40) + 20;
  const make_ = (length: number) =>
    make(
      "tcp",
      [WORLD[family], 5000],
      [VIP[family], PORTS.elsewhere],
      TCP.ack,
      new Uint8Array(length),
    );
  sent(node, "xdp_ingress", make_(1500 - more - header));
  sent(node, "from_netdev", make_(1500 - more - header));
  const long = make_(1500 - more - header + 1);
  assertEquals(run(node, "xdp_ingress", long).verdict, XDP.pass);
  const answer = readFrame(sent(node, "from_netdev", long));
  assertEquals([answer.source, answer.destination], [VIP[family], WORLD[family]]);
  const [type, code] = family === "ipv4" ? [3, 4] : [2, 0];
  assertEquals([answer.payload[0], answer.payload[1]], [type, code]);
  assertEquals(new DataView(answer.payload.buffer).getUint16(6), 1500 - more);
  assertEquals(answer.quoted?.destinationPort, PORTS.elsewhere);
});

both("source ranges, cluster addresses and services without backends are refused", (family) => {
  using node = balancerNode("snat");
  const send = (port: number, to = VIP[family]) => {
    const made = make("tcp", [WORLD[family], 5000], [to, port]);
    assertEquals(run(node, "xdp_ingress", made).verdict, XDP.pass);
    const result = run(node, "from_netdev", made);
    return [result.verdict, node.takeEvents()[0]?.reason];
  };
  assertEquals(send(PORTS.ranges), [VERDICT.shot, DropReason.NOT_IN_SOURCE_RANGES]);
  const { address, prefixLength } = parseCidr(
    family === "ipv4" ? "198.51.100.0/24" : "2001:db8:ffff::/48",
  );
  node.maps.pilus_source_ranges.set({ service: 14, prefixLength: 32 + prefixLength, address }, 1);
  assertEquals(send(PORTS.ranges), [VERDICT.redirect, undefined]);
  assertEquals(send(PORTS.inside), [VERDICT.shot, DropReason.CLUSTER_IP_FROM_OUTSIDE]);
  assertEquals(send(1), [VERDICT.redirect, DropReason.SERVICE_BACKEND_NOT_FOUND]);
  node.setService(VIP[family], EMPTY_SERVICE_PORT, 0, [], { flags: 1 });
  const made = make("tcp", [WORLD[family], 5000], [VIP[family], EMPTY_SERVICE_PORT]);
  const reset = readFrame(run(node, "from_netdev", made).frame);
  assertEquals(ends(reset), [VIP[family], EMPTY_SERVICE_PORT, WORLD[family], 5000]);
  assertEquals(reset.payload[13], TCP.rst | TCP.ack);

  // with backends elsewhere, and none for clients outside, another node may serve it
  node.takeEvents();
  const key = { address: parseIp(VIP[family]), port: EMPTY_SERVICE_PORT, protocol: 6 };
  const row = node.maps.pilus_services.get(key)!;
  const [internal, external] = row.side;
  node.maps.pilus_services.set(key, { ...row, side: [{ ...internal, count: 1 }, external] });
  const left = run(node, "from_netdev", made);
  assertEquals([left.verdict, left.frame], [VERDICT.shot, made]);
  assertEquals(node.takeEvents()[0]?.reason, DropReason.SERVICE_BACKEND_NOT_FOUND);
});

both("the prefilter drops what comes from its prefixes, and nothing else", (family) => {
  using node = balancerNode("snat");
  const made = make("tcp", [WORLD[family], 5000], [NODE[family], 22]);
  assertEquals(run(node, "xdp_ingress", made).verdict, XDP.pass);
  const { address, prefixLength } = parseCidr(
    family === "ipv4" ? "198.51.100.0/30" : "2001:db8:ffff::/126",
  );
  const setDenied = (denied: number) =>
    node.maps.pilus_node.set(0, { ...node.maps.pilus_node.get(0)!, denied });
  node.maps.pilus_prefilter.set({ address, prefixLength }, 1);
  setDenied(1);
  assertEquals(run(node, "xdp_ingress", made).verdict, XDP.pass);
  const { address: all } = parseCidr(family === "ipv4" ? "198.51.100.0/24" : "2001:db8:ffff::/48");
  node.maps.pilus_prefilter.set({ address: all, prefixLength: family === "ipv4" ? 120 : 48 }, 1);
  assertEquals(run(node, "xdp_ingress", made).verdict, XDP.drop);
  assertEquals(node.counted(DropReason.DENIED_BY_PREFILTER).ingress, 1);
});

both("a backend that is the node itself answers in the service's name", (family) => {
  using node = balancerNode("snat");
  const port = 90;
  node.setService(VIP[family], port, 300, [{ address: NODE[family], port: 9000, flags: 1 }], {
    flags: 1,
  });
  node.maps.pilus_node.set(0, { ...node.maps.pilus_node.get(0)!, hostBackends: 1 });
  const made = make("tcp", [WORLD[family], 5000], [VIP[family], port]);
  assertEquals(run(node, "xdp_ingress", made).verdict, XDP.pass);
  const there = run(node, "from_netdev", made);
  assertEquals(there.verdict, VERDICT.ok);
  assertEquals(ends(readFrame(there.frame)), [WORLD[family], 5000, NODE[family], 9000]);
  const answer = make("tcp", [NODE[family], 9000], [WORLD[family], 5000], TCP.syn | TCP.ack);
  const back = node.run("to_netdev", answer, { ifindex: DEVICE_IFINDEX });
  assertEquals(back.verdict, VERDICT.unspec);
  assertEquals(ends(readFrame(back.frame)), [VIP[family], port, WORLD[family], 5000]);
});

both("through the tunnel the answer comes back to the node's router address", (family) => {
  using node = new TestNode();
  using trampoline = new Trampoline();
  node.maps.pilus_ipcache.set(parseIp(VIP[family]), {
    identity: 2,
    flags: 4,
    ifindex: 0,
    node: new Uint8Array(16),
  });
  node.setService(VIP[family], 80, 300, [{ address: REMOTE[family], port: 8080, flags: 2 }], {
    flags: 1,
  });
  const there = node.run("from_netdev", make("tcp", [WORLD[family], 5000], [VIP[family], 80]), {
    ifindex: DEVICE_IFINDEX,
  });
  assertEquals(there.verdict, VERDICT.redirect);
  assertEquals(ends(readFrame(there.frame)), [ROUTER[family], 5000, REMOTE[family], 8080]);
  // at the other end the client is somebody of the world
  const world = trampoline.aim(node.program("from_overlay"), { identity: 2 });
  const arrived = make(
    "tcp",
    [ROUTER[family].replace("10.1", "10.2").replace("1::", "2::"), 5000],
    [
      POD[family],
      8080,
    ],
  );
  node.maps.pilus_runtime.set(0, { traceLevel: 1, sockmap: 0 });
  assertEquals(node.run(world, arrived, { ifindex: TUNNEL_IFINDEX }).verdict, VERDICT.redirect);
  assertEquals(node.takeEvents().at(-1)?.sourceIdentity, family === "ipv4" ? 9 : 10);
});

both("a pod reaches itself through its service", (family) => {
  using node = new TestNode();
  node.setService(SERVICE[family], 90, 300, [{ address: POD[family], port: 8080, flags: 1 }]);
  // nobody keeps a pod from itself
  node.setPolicy(2, { INGRESS: { enforced: true }, EGRESS: { enforced: true } });
  node.setEndpoint(POD, { policy: 2 });
  for (const protocol of ["tcp", "udp"] as const) {
    const made = make(protocol, [POD[family], 5000], [SERVICE[family], 90]);
    const there = node.fromPod(made);
    assertEquals(there.verdict, VERDICT.redirect);
    const packet = readFrame(there.frame);
    assertEquals([packet.destination, packet.destinationPort], [POD[family], 8080]);
    assert(packet.source !== POD[family] && packet.sourcePort === 5000);
    const answer = make(protocol, [POD[family], 8080], [packet.source, 5000], TCP.syn | TCP.ack);
    const back = node.fromPod(answer);
    assertEquals(back.verdict, VERDICT.redirect);
    assertEquals(ends(readFrame(back.frame)), [SERVICE[family], 90, POD[family], 5000]);
  }
});

both("a random choice is kept, and affinity leads a client's flows to one backend", (family) => {
  using node = balancerNode("snat");
  const backends = Array.from({ length: 8 }, (_, i) => ({
    address: family === "ipv4" ? `10.2.1.${i}` : `fd00:2:1::${i}`,
    port: 8080,
  }));
  node.setService(VIP[family], PORTS.random, 300, backends, { id: 20, flags: 1 });
  node.setService(VIP[family], PORTS.affinity, 310, backends, { id: 21, flags: 1, affinityS: 60 });
  backends.forEach(({ address, port }, i) =>
    node.maps.pilus_backend_index.set({ address: parseIp(address), service: 21, port }, [
      i + 1,
      i + 1,
    ])
  );
  const backendOf = (client: string, sourcePort: number, port: number, flags: number) => {
    run(node, "xdp_ingress", make("tcp", [client, sourcePort], [VIP[family], port], flags));
    const choice = [...node.maps.pilus_choices.entries()].find(([key]) =>
      key.clientPort === sourcePort && formatIp(key.client) === client
    );
    return formatIp(choice![1].backend);
  };
  const seen = new Set<string>();
  for (let sourcePort = 1; sourcePort <= 64; sourcePort++) {
    const first = backendOf(WORLD[family], sourcePort, PORTS.random, TCP.syn);
    assertEquals(backendOf(WORLD[family], sourcePort, PORTS.random, TCP.ack), first);
    assertEquals(backendOf(WORLD[family], sourcePort, PORTS.random, TCP.syn), first);
    seen.add(first);
  }
  assertEquals(seen.size, backends.length);

  const kept = new Set<string>();
  for (let sourcePort = 100; sourcePort < 120; sourcePort++) {
    kept.add(backendOf(WORLD[family], sourcePort, PORTS.affinity, TCP.syn));
  }
  assertEquals(kept.size, 1);
  // a minute without a connection: another choice
  for (const [key, value] of [...node.maps.pilus_affinity.entries()]) {
    node.maps.pilus_affinity.set(key, { ...value, used: value.used - 61_000_000_000n });
  }
  const after = new Set<string>();
  for (let i = 0; i < 20; i++) {
    after.add(backendOf(WORLD[family], 200 + i, PORTS.affinity, TCP.syn));
    node.maps.pilus_affinity.clear();
  }
  assert(after.size > 1);
});

both("flows stay with their backend when a Maglev slot changes, new ones follow it", (family) => {
  using node = balancerNode("snat");
  const at = (i: number) => family === "ipv4" ? `10.2.1.${i}` : `fd00:2:1::${i + 1}`;
  const ASK = 0x80000000, YOUNG = 0x40000000;
  const set = (first: number, addresses: string[], value: number) => {
    node.setTable(1, () => value);
    node.setService(
      VIP[family],
      PORTS.elsewhere,
      first,
      addresses.map((address) => ({ address, port: 8080 })),
      { id: 22, flags: 1, table: 1 },
    );
  };
  let client = 1000;
  const send = (protocol: Protocol, port: number, flags: number) => {
    node.maps.pilus_nat.clear();
    run(
      node,
      "from_netdev",
      make(protocol, [WORLD[family], port], [VIP[family], PORTS.elsewhere], flags),
    );
    const [row] = node.maps.pilus_nat.entries();
    return formatIp(row![0].source);
  };
  set(300, [at(0), at(1)], slot(0));
  const [oldTcp, oldUdp] = [client++, client++];
  assertEquals(send("tcp", oldTcp, TCP.syn), at(0));
  assertEquals(send("udp", oldUdp, 0), at(0));
  assertEquals(node.maps.pilus_choices.count(), 0, "without a change there is no memory");

  // 0 is replaced by 1 in every slot, and lives on
  set(400, [at(1), at(0)], ASK | YOUNG | 0 | 1 << 14);
  const newTcp = client++;
  assertEquals(send("tcp", oldTcp, TCP.ack), at(0));
  assertEquals(send("udp", oldUdp, 0), at(0));
  assertEquals(send("tcp", newTcp, TCP.syn), at(1));
  assertEquals(send("tcp", newTcp, TCP.ack), at(1));

  // a minute later datagrams without memory are new ones
  set(500, [at(1), at(0)], ASK | 0 | 1 << 14);
  assertEquals(send("udp", oldUdp, 0), at(0));
  const newUdp = client++;
  assertEquals(send("udp", newUdp, 0), at(1));

  // a third backend takes the slots: all of them stay
  set(600, [at(2), at(0), at(1)], ASK | YOUNG | 0 | 1 << 14);
  assertEquals(send("tcp", oldTcp, TCP.ack), at(0));
  assertEquals(send("tcp", newTcp, TCP.ack), at(1));
  assertEquals(send("udp", newUdp, 0), at(1));
  assertEquals(send("tcp", client++, TCP.syn), at(2));

  // the first one has gone: what it served goes to somebody who resets it
  set(700, [at(2), at(1)], ASK | 0 | 0 << 14);
  assertEquals(send("tcp", oldTcp, TCP.ack), at(2));
  assertEquals(send("tcp", newTcp, TCP.ack), at(1));

  // and now the second: a choice of what has gone is none
  set(800, [at(2)], ASK | 0 | 0 << 14);
  assertEquals(send("tcp", newTcp, TCP.ack), at(2));
});

Deno.test("the kernel and the agent find the same backend for 100,000 random flows", () => {
  const seed = Number(Deno.env.get("FUZZ_SEED") ?? Date.now() % 2 ** 31);
  console.log(`FUZZ_SEED=${seed}`);
  const random = generator(seed);
  using node = balancerNode("ipip");
  const COUNT = 200;
  const owner = Array.from({ length: MAGLEV_SIZE }, () => random(COUNT));
  node.setTable(1, (i) => slot(owner[i] ?? 0));
  const addresses = { ipv4: [] as string[], ipv6: [] as string[] };
  for (const family of FAMILIES) {
    for (let i = 0; i < COUNT; i++) {
      addresses[family].push(
        family === "ipv4" ? `192.0.2.${i + 10}` : `2001:db8::${(i + 16).toString(16)}`,
      );
    }
    node.setService(
      VIP[family],
      PORTS.elsewhere,
      family === "ipv4" ? 1000 : 2000,
      addresses[family].map((address) => ({ address, port: 8080 })),
      { id: 23, flags: 5, table: 1 },
    );
  }
  for (const family of FAMILIES) {
    const destination = parseCidr(family === "ipv4" ? "192.0.2.0/24" : "2001:db8::/64");
    replaceRoute(node.netlink, { destination, ifindex: DEVICE_IFINDEX });
    for (const ip of addresses[family].map(parseIp)) {
      replaceNeighbour(node.netlink, { ifindex: DEVICE_IFINDEX, ip, mac: BACKEND_MAC });
    }
  }
  for (let n = 0; n < 100_000; n++) {
    const family = FAMILIES[n & 1]!;
    const protocol = random(2) ? "tcp" : "udp";
    const source = family === "ipv4"
      ? Array.from({ length: 4 }, () => 1 + random(126)).join(".") // none of the loopback's
      : Array.from({ length: 8 }, (_, i) => (i ? random(65536) : 0x2001).toString(16)).join(":");
    const sourcePort = random(65536);
    const destination = VIP[family];
    const made = make(protocol, [source, sourcePort], [destination, PORTS.elsewhere], TCP.ack);
    const result = run(node, "xdp_ingress", made);
    const hash = maglevHash({
      source: parseIp(source),
      destination: parseIp(destination),
      sourcePort,
      destinationPort: PORTS.elsewhere,
      protocol: PROTOCOL[protocol],
    });
    const expected = addresses[family][owner[slotOf(hash, MAGLEV_SIZE)]!]!;
    assert(PROGRAMS.xdp_ingress.sent.includes(result.verdict), `verdict ${result.verdict}`);
    const at = ETHERNET_HEADER + (family === "ipv4" ? 16 : 24);
    const raw = result.frame.slice(at, at + (family === "ipv4" ? 4 : 16));
    const found = family === "ipv4" ? raw.join(".") : formatIp(raw);
    if (found !== formatIp(parseIp(expected))) {
      throw new Error(
        `${source}:${sourcePort} goes to ${found} in the kernel, to ${expected} here`,
      );
    }
  }
});

both("fragments of a datagram to a service reach one backend", (family) => {
  using node = balancerNode("snat");
  const envelope = { source: WORLD[family], destination: VIP[family] };
  const payload = new Uint8Array(48);
  new DataView(payload.buffer).setUint16(0, 5000);
  new DataView(payload.buffer).setUint16(2, PORTS.elsewhere);
  for (const [offset, more] of [[0, true], [48, false]] as const) {
    const made = frame(
      envelope,
      ipPacket({ ...envelope, fragment: { id: 7, offset, more } }, PROTOCOL.udp, payload),
    );
    assertEquals(run(node, "xdp_ingress", made).verdict, XDP.pass);
    const packet = readFrame(sent(node, "from_netdev", made));
    assertEquals([packet.source, packet.destination], [NODE[family], REMOTE[family]]);
  }
});

both("when no port is left there is a reason, and abandoned ports are taken over", (family) => {
  using node = balancerNode("snat", { nat_port_min: 100, nat_port_max: 103 });
  const client = (i: number) => (family === "ipv4" ? `198.51.100.${i}` : `2001:db8:ffff::${i}`);
  const send = (program: Program, i: number) =>
    run(node, program, make("udp", [client(i), 5000], [VIP[family], PORTS.elsewhere]));
  const ports = [1, 2, 3, 4, 5].map((i) => readFrame(send("xdp_ingress", i).frame).sourcePort);
  assertEquals(ports.toSorted((a, b) => a - b), [100, 101, 102, 103, 5000]);
  assertEquals(send("xdp_ingress", 6).verdict, XDP.pass);
  assertEquals(send("from_netdev", 6).verdict, VERDICT.shot);
  assertEquals(node.takeEvents()[0]?.reason, DropReason.NO_NAT_MAPPING);
  const { pilus_nat } = node.maps;
  for (const [key, value] of [...pilus_nat.entries()]) pilus_nat.set(key, { ...value, used: 0n });
  assertEquals(readFrame(send("xdp_ingress", 6).frame).sourcePort, 5000);
});
