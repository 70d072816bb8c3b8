/** Where packets from the wire come from, and who their clients are; see docs/security.md. */

import { assertEquals } from "@std/assert";
import { BackendFlags, DropReason, ServiceFlags } from "./maps/generated.ts";
import { addAddress } from "./net/address.ts";
import { parseCidr, parseIp } from "./net/ip.ts";
import { replaceNeighbour } from "./net/neighbour.ts";
import { replaceRoute } from "./net/route.ts";
import { balancerNode, PORTS, VIP } from "./testdata/balancer.ts";
import {
  DEVICE_IFINDEX,
  dropped,
  NODE,
  OTHER_CIDR,
  OTHER_NODE,
  OTHER_POD,
  POD,
  REMOTE,
  ROUTER,
  TestNode,
  TUNNEL_IFINDEX,
  TUNNEL_MAC,
  VERDICT,
  WORLD,
} from "./testdata/node.ts";
import {
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
import { both, type Family } from "./testdata/families.ts";

type Bytes = Uint8Array<ArrayBuffer>;
const MAC = Uint8Array.of(2, 9, 9, 9, 9, 9), STRANGER = Uint8Array.of(2, 6, 6, 6, 6, 6);
const ROUTER_MAC = Uint8Array.of(2, 7, 7, 7, 7, 7);
/** Another device of the node, and the MAC of the other one there. */
const SECOND_IFINDEX = TUNNEL_IFINDEX, SECOND_MAC = Uint8Array.of(2, 8, 8, 8, 8, 8);
const GATEWAY = { ipv4: "192.0.2.254", ipv6: "2001:db8::fe" };
const PREFIX = { ipv4: 24, ipv6: 64 };
const LOOPBACK = { ipv4: "127.0.0.1", ipv6: "::1" };
const NATIVE = { routing_mode: 0, tunnel_ifindex: 0 };
const PORT = 30080;
/** include/uapi/linux/bpf.h */
const XDP_PASS = 2;

/** Puts the node on the link of the other one, whose pods are behind `via`. */
function link(node: TestNode, family: Family, via: string): void {
  addAddress(node.netlink, {
    ifindex: DEVICE_IFINDEX,
    cidr: parseCidr(`${NODE[family]}/${PREFIX[family]}`),
  });
  for (const near of [OTHER_NODE[family], GATEWAY[family]]) {
    replaceRoute(node.netlink, { destination: parseCidr(near), ifindex: DEVICE_IFINDEX });
  }
  replaceRoute(node.netlink, {
    destination: parseCidr(OTHER_CIDR[family]),
    via: parseIp(via),
    ifindex: DEVICE_IFINDEX,
  });
}

function neighbour(node: TestNode, ip: string, mac: Bytes): void {
  replaceNeighbour(node.netlink, { ifindex: DEVICE_IFINDEX, ip: parseIp(ip), mac });
}

const toPod = (family: Family, sourceMac: Bytes, source: string = REMOTE[family]) =>
  udpFrame({ source, destination: POD[family], sourcePort: 9, destinationPort: 53, sourceMac });

const arrive = (node: TestNode, made: Bytes) =>
  node.run("from_netdev", made, { ifindex: DEVICE_IFINDEX });

both("native routing: a pod of another node on the link has that node's MAC", (family) => {
  using node = new TestNode(NATIVE);
  link(node, family, OTHER_NODE[family]);
  const verdict = (mac: Bytes, source?: string) =>
    dropped(node, arrive(node, toPod(family, mac, source)));
  assertEquals(verdict(STRANGER), undefined, "while the node's MAC is not known");
  neighbour(node, OTHER_NODE[family], MAC);
  node.forgetAddresses();
  assertEquals(verdict(STRANGER), DropReason.INVALID_SOURCE_IP);
  assertEquals(verdict(MAC), undefined);
  assertEquals(verdict(STRANGER), DropReason.INVALID_SOURCE_IP, "on a connection, too");
  assertEquals(verdict(STRANGER, WORLD[family]), undefined, "the world has no MAC of its own");
});

both("native routing: behind a router any MAC may be a pod's", (family) => {
  using node = new TestNode(NATIVE);
  link(node, family, GATEWAY[family]);
  neighbour(node, GATEWAY[family], ROUTER_MAC);
  neighbour(node, OTHER_NODE[family], MAC);
  for (const mac of [ROUTER_MAC, MAC]) {
    assertEquals(dropped(node, arrive(node, toPod(family, mac))), undefined);
  }
});

both("tunnel frames of a node on the link have its MAC", (family) => {
  using node = new TestNode();
  link(node, "ipv4", OTHER_NODE.ipv4);
  neighbour(node, OTHER_NODE.ipv4, MAC);
  const verdict = (sourceMac: Bytes) =>
    dropped(
      node,
      arrive(
        node,
        vxlanFrame({
          source: OTHER_NODE.ipv4,
          destination: NODE.ipv4,
          vni: REMOTE.identity,
          about: toPod(family, MAC),
          sourceMac,
        }),
      ),
    );
  assertEquals(verdict(STRANGER), DropReason.TUNNEL_FROM_UNKNOWN_NODE);
  assertEquals(verdict(MAC), undefined);
});

const GROUPS = {
  ipv4: ["255.255.255.255", "224.0.0.1", "192.0.2.255"],
  ipv6: ["ff02::1", "ff05::1"],
} as const;

both(
  "what the stack may take for a tunnel frame has the node's MAC, wherever it goes",
  (family) => {
    using node = new TestNode();
    link(node, family, OTHER_NODE[family]);
    neighbour(node, OTHER_NODE[family], MAC);
    const frames = (sourceMac: Bytes, destination: string) => {
      const source = OTHER_NODE[family];
      const about = toPod(family, MAC);
      const options = family === "ipv6" ? 9 : 0;
      const envelope = { source, destination, sourceMac };
      const part = { ...envelope, fragment: { id: 7, offset: 16, more: false } };
      return [
        vxlanFrame({ ...envelope, vni: REMOTE.identity, about, checksum: true }),
        // more headers than the parser follows
        vxlanFrame({ ...envelope, vni: REMOTE.identity, about, checksum: true, options }),
        frame(part, ipPacket(part, PROTOCOL.udp, new Uint8Array(16))),
      ];
    };
    for (const destination of [...GROUPS[family], NODE[family]]) {
      for (const made of frames(STRANGER, destination)) {
        assertEquals(
          dropped(node, arrive(node, made)),
          DropReason.TUNNEL_FROM_UNKNOWN_NODE,
          destination,
        );
      }
      for (const made of frames(MAC, destination)) {
        assertEquals(dropped(node, arrive(node, made)), undefined, destination);
      }
    }
    // what the tunnel does not take the stack gets, whatever way it came
    const other = { source: OTHER_NODE[family], destination: NODE[family], sourceMac: STRANGER };
    const made = udpFrame({ ...other, sourcePort: 9, destinationPort: 99 });
    assertEquals(dropped(node, arrive(node, made)), undefined);
  },
);

both("without the check any MAC may be a node's", (family) => {
  using node = new TestNode({ ...NATIVE, node_mac_check: 0 });
  link(node, family, OTHER_NODE[family]);
  neighbour(node, OTHER_NODE[family], MAC);
  assertEquals(dropped(node, arrive(node, toPod(family, STRANGER))), undefined);
  const own = arrive(node, toPod(family, STRANGER, OTHER_POD[family]));
  assertEquals(dropped(node, own), DropReason.INVALID_SOURCE_IP, "a pod of this node");
});

both("a node on two links has a MAC on each", (family) => {
  using node = new TestNode(NATIVE);
  link(node, family, OTHER_NODE[family]);
  const second = { ipv4: "203.0.113.2", ipv6: "2001:db8:2::2" }[family];
  const row = node.maps.pilus_ipcache.get(parseIp(OTHER_NODE[family]))!;
  node.maps.pilus_ipcache.set(parseIp(second), row);
  replaceRoute(node.netlink, { destination: parseCidr(second), ifindex: SECOND_IFINDEX });
  neighbour(node, OTHER_NODE[family], MAC);
  replaceNeighbour(node.netlink, { ifindex: SECOND_IFINDEX, ip: parseIp(second), mac: SECOND_MAC });
  const hops = [[OTHER_NODE[family], DEVICE_IFINDEX], [second, SECOND_IFINDEX]]
    .flatMap(([via, ifindex]) => ["nexthop", "via", `${via}`, "dev", `d${ifindex}`]);
  const { success } = new Deno.Command("ip", {
    args: ["route", "replace", OTHER_CIDR[family], ...hops],
  }).outputSync();
  assertEquals(success, true);
  const verdict = (ifindex: number, mac: Bytes) => {
    const made = toPod(family, mac);
    if (ifindex === SECOND_IFINDEX) made.set(TUNNEL_MAC);
    return dropped(node, node.run("from_netdev", made, { ifindex }));
  };
  for (let turn = 0; turn < 2; turn++) {
    assertEquals(verdict(DEVICE_IFINDEX, MAC), undefined);
    assertEquals(verdict(SECOND_IFINDEX, SECOND_MAC), undefined);
    assertEquals(verdict(SECOND_IFINDEX, STRANGER), DropReason.INVALID_SOURCE_IP);
    assertEquals(verdict(DEVICE_IFINDEX, SECOND_MAC), DropReason.INVALID_SOURCE_IP);
  }
});

both(
  "through the tunnel, what a node on the link sends to pods and services has its MAC",
  (family) => {
    using node = new TestNode();
    link(node, family, OTHER_NODE[family]);
    neighbour(node, OTHER_NODE[family], MAC);
    serveAtNode(node, family);
    node.setService(NODE[family], PORT, 20, [{ address: POD[family], port: 80 }], {
      id: 3,
      flags: ServiceFlags.EXTERNAL,
    });
    const datagram = (destination: string, destinationPort: number, sourceMac: Bytes) =>
      udpFrame({
        source: OTHER_NODE[family],
        destination,
        sourcePort: 9,
        destinationPort,
        sourceMac,
      });
    const question = (sourceMac: Bytes) =>
      tcpFrame({
        ...{ source: OTHER_NODE[family], destination: NODE[family], sourceMac },
        ...{ sourcePort: 9, destinationPort: PORT, flags: TCP.syn },
      });
    /** An error about what the service has answered. */
    const error = (sourceMac: Bytes) =>
      unreachableFrame({
        ...{ source: OTHER_NODE[family], destination: NODE[family], sourceMac },
        about: tcpFrame({
          ...{ source: NODE[family], destination: OTHER_NODE[family] },
          ...{ sourcePort: PORT, destinationPort: 9, flags: TCP.ack },
        }),
      });
    for (const make of [(mac: Bytes) => datagram(POD[family], 53, mac), question, error]) {
      assertEquals(dropped(node, arrive(node, make(STRANGER))), DropReason.INVALID_SOURCE_IP);
      assertEquals(dropped(node, arrive(node, make(MAC))), undefined);
      assertEquals(dropped(node, arrive(node, make(STRANGER))), DropReason.INVALID_SOURCE_IP);
    }
    // nobody is locked out of the node itself
    assertEquals(arrive(node, datagram(NODE[family], 99, STRANGER)).verdict, VERDICT.unspec);
  },
);

both("the client of a service is none of this node's addresses or pods", (family) => {
  using node = new TestNode();
  const flags = ServiceFlags.EXTERNAL;
  node.setService(NODE[family], PORT, 20, [
    { address: REMOTE[family], port: 80, flags: BackendFlags.TUNNEL },
  ], { id: 3, flags });
  serveAtNode(node, family);
  for (const source of [NODE[family], OTHER_POD[family], REMOTE[family]]) {
    assertEquals(
      dropped(node, arrive(node, syn(source, NODE[family]))),
      DropReason.INVALID_SOURCE_IP,
      source,
    );
  }
});

const NO_SOURCES = {
  ipv4: ["127.0.0.1", "224.0.0.1", "255.255.255.255", "0.0.0.0"],
  ipv6: ["::1", "ff02::1", "ff0e::1", "::", "fe80::1"],
} as const;

both("sources that no host has reach neither pods nor services from the wire", (family) => {
  using node = new TestNode();
  // all of the world has a row where a policy is about it
  for (const cidr of ["0.0.0.0/0", "::/0"]) {
    const value = { identity: 2, flags: 0, ifindex: 0, node: new Uint8Array(16) };
    node.maps.pilus_cidrs.set(parseCidr(cidr), value);
  }
  node.setService(NODE[family], PORT, 20, [
    { address: REMOTE[family], port: 80, flags: BackendFlags.TUNNEL },
  ], { id: 3, flags: ServiceFlags.EXTERNAL });
  serveAtNode(node, family);
  assertEquals(dropped(node, arrive(node, toPod(family, MAC, WORLD[family]))), undefined);
  for (const source of NO_SOURCES[family]) {
    for (const made of [toPod(family, MAC, source), syn(source, NODE[family])]) {
      assertEquals(dropped(node, arrive(node, made)), DropReason.INVALID_SOURCE_IP, source);
    }
  }
});

both("XDP balances nothing whose source no host has", (family) => {
  using node = balancerNode("snat");
  const verdict = (source: string) =>
    node.program("xdp_ingress").testRun({
      data: udpFrame({
        source,
        destination: VIP[family],
        sourcePort: 1,
        destinationPort: PORTS.elsewhere,
      }),
    }).retval;
  assertEquals(verdict(WORLD[family]) > XDP_PASS, true, "sent on");
  for (const source of NO_SOURCES[family]) assertEquals(verdict(source), XDP_PASS, source);
});

both(
  "what is left to the stack has no address of this node or its pods as its source",
  (family) => {
    using node = new TestNode();
    const datagram = (source: string, destination: string, options = 0) =>
      udpFrame({ source, destination, options, sourcePort: 9, destinationPort: 99 });
    const unknown = { ipv4: "192.0.2.99", ipv6: "2001:db8::99" };
    const left = (source: string) => [
      datagram(source, NODE[family]),
      datagram(source, OTHER_NODE[family]),
      datagram(source, REMOTE[family]),
      datagram(source, unknown[family]),
      // more headers than the parser follows
      datagram(source, NODE[family], family === "ipv6" ? 9 : 0),
    ];
    for (const source of [WORLD[family], OTHER_NODE[family], NO_SOURCES[family][3]]) {
      for (const made of left(source)) {
        assertEquals(
          arrive(node, made).verdict,
          VERDICT.unspec,
          source,
        );
      }
    }
    for (const source of [POD[family], NODE[family], ROUTER[family], REMOTE[family]]) {
      for (const made of left(source)) {
        assertEquals(dropped(node, arrive(node, made)), DropReason.INVALID_SOURCE_IP, source);
      }
    }
  },
);

both(
  "parts of datagrams whose source is not their sender's reach no stack that answers",
  (family) => {
    using node = new TestNode();
    serveAtNode(node, family);
    node.setService(NODE[family], PORT, 20, [{ address: POD[family], port: 80 }], {
      id: 3,
      flags: ServiceFlags.EXTERNAL,
    });
    let id = 0;
    /** The first part of a datagram, one that comes after it, and one whose first never came. */
    const parts = (source: string, destination: string, destinationPort: number, ttl: number) => {
      const part = (datagram: number, offset: number) =>
        udpFrame({
          ...{ source, destination, ttl, sourcePort: 9, destinationPort },
          fragment: { id: datagram, offset, more: offset === 0 },
          payload: new Uint8Array(56),
        });
      return [part(++id, 0), part(id, 64), part(++id, 64)];
    };
    const ways = [
      [NODE[family], 99, 64],
      [NODE[family], PORT, 64],
      [OTHER_NODE[family], 99, 64],
      [WORLD[family], 99, 64],
      // time exceeded
      [WORLD[family], 99, 1],
      [POD[family], 99, 1],
    ] as const;
    for (const [destination, port, ttl] of ways) {
      for (const source of [OTHER_POD[family], NODE[family], ROUTER[family], REMOTE[family]]) {
        for (const made of parts(source, destination, port, ttl)) {
          assertEquals(arrive(node, made).verdict, VERDICT.shot, `${source} to ${destination}`);
        }
      }
    }
    for (const made of parts(OTHER_NODE[family], NODE[family], 99, 64)) {
      assertEquals(arrive(node, made).verdict, VERDICT.unspec);
    }
  },
);

both("an outer frame of the tunnel has none of this node's addresses as its source", (family) => {
  using node = new TestNode();
  const outer = (source: string) =>
    vxlanFrame({
      source,
      destination: NODE[family],
      vni: REMOTE.identity,
      about: toPod(family, MAC),
      checksum: true,
    });
  for (const source of [NODE[family], ROUTER[family], POD[family]]) {
    const { TUNNEL_FROM_UNKNOWN_NODE } = DropReason;
    assertEquals(dropped(node, arrive(node, outer(source))), TUNNEL_FROM_UNKNOWN_NODE, source);
  }
  assertEquals(arrive(node, outer(OTHER_NODE[family])).verdict, VERDICT.unspec);
});

Deno.test("a mapped address in IPv6 does not change what is known of the one in IPv4", () => {
  using node = new TestNode(NATIVE);
  link(node, "ipv4", OTHER_NODE.ipv4);
  neighbour(node, OTHER_NODE.ipv4, MAC);
  const mapped = udpFrame({
    source: "fd00::1",
    destination: NODE.ipv6,
    sourcePort: 9,
    destinationPort: 99,
    sourceMac: STRANGER,
  });
  mapped.set(parseIp(REMOTE.ipv4), 14 + 8);
  for (let tries = 0; tries < 2; tries++) {
    arrive(node, mapped);
    node.takeEvents();
    const forged = arrive(node, toPod("ipv4", STRANGER));
    assertEquals(dropped(node, forged), DropReason.INVALID_SOURCE_IP);
    node.forgetAddresses();
  }
});

const syn = (source: string, destination: string, sourcePort = 4000) =>
  tcpFrame({
    ...{ source, destination, sourcePort, destinationPort: PORT },
    ...{ sourceMac: MAC, flags: TCP.syn },
  });

/** Marks the node's address as one with services. */
function serveAtNode(node: TestNode, family: Family): void {
  const key = parseIp(NODE[family]);
  const row = node.maps.pilus_ipcache.get(key)!;
  node.maps.pilus_ipcache.set(key, { ...row, flags: row.flags | 4 });
}

both("a node that is the client of a node port is a node to the backend's node", (family) => {
  using node = new TestNode();
  node.reachOtherNode();
  serveAtNode(node, family);
  node.setService(NODE[family], PORT, 20, [
    { address: REMOTE[family], port: 80, flags: BackendFlags.TUNNEL },
  ], { id: 3, flags: ServiceFlags.EXTERNAL });
  for (const [client, identity] of [[OTHER_NODE[family], 6], [WORLD[family], 2]] as const) {
    const { frame } = arrive(node, syn(client, NODE[family]));
    const outer = readFrame(frame);
    assertEquals(outer.protocol, PROTOCOL.udp);
    assertEquals(new DataView(outer.payload.buffer).getUint32(12) >> 8, identity, client);
  }
});

both(
  "a pod reaches another node's node port by this node's choice, under its own name",
  (family) => {
    using node = new TestNode();
    const backends = [{ address: OTHER_POD[family], port: 8080 }];
    const serve = (flags: number, list = backends) =>
      node.setService(LOOPBACK[family], PORT, 20, list, { id: 3, flags });
    const there = OTHER_NODE[family];
    const destination = (made: Bytes) => {
      const result = node.fromPod(made);
      assertEquals(dropped(node, result), undefined);
      const { destination, destinationPort } = readFrame(result.frame);
      return [destination, destinationPort];
    };
    serve(0);
    assertEquals(destination(syn(POD[family], there)), [there, PORT], "no node port");
    serve(ServiceFlags.NODE_PORT | ServiceFlags.EXTERNAL);
    assertEquals(destination(syn(POD[family], there, 4001)), [OTHER_POD[family], 8080]);
    const row = node.connection(6, [POD[family], 4001], [OTHER_POD[family], 8080])!;
    assertEquals(row.initiatorIdentity, POD.identity);

    const answer = tcpFrame({
      source: OTHER_POD[family],
      destination: POD[family],
      sourcePort: 8080,
      destinationPort: 4001,
      flags: TCP.syn | TCP.ack,
    });
    const back = node.fromPod(answer, OTHER_POD);
    assertEquals(dropped(node, back), undefined);
    const { source, sourcePort } = readFrame(back.frame);
    assertEquals([source, sourcePort], [there, PORT]);

    // without backends it is refused, as at the node itself
    serve(ServiceFlags.NODE_PORT | ServiceFlags.EXTERNAL, []);
    node.fromPod(syn(POD[family], there, 4002));
    const [drop] = node.takeEvents();
    assertEquals(drop?.reason, DropReason.SERVICE_BACKEND_NOT_FOUND);
  },
);

both("a client on a node whose port is a node port gets its answers", (family) => {
  using node = new TestNode();
  node.setService(LOOPBACK[family], PORT, 20, [{ address: OTHER_POD[family], port: 8080 }], {
    id: 3,
    flags: ServiceFlags.NODE_PORT | ServiceFlags.EXTERNAL,
  });
  const there = OTHER_NODE[family];
  const question = { source: there, destination: POD[family], sourcePort: PORT };
  const answer = { source: POD[family], destination: there, destinationPort: PORT };
  const pairs = [
    [
      tcpFrame({ ...question, destinationPort: 80, flags: TCP.syn }),
      tcpFrame({ ...answer, sourcePort: 80, flags: TCP.syn | TCP.ack }),
    ],
    [udpFrame({ ...question, destinationPort: 53 }), udpFrame({ ...answer, sourcePort: 53 })],
  ] as const;
  for (const [asked, back] of pairs) {
    assertEquals(dropped(node, arrive(node, asked)), undefined);
    assertEquals(readFrame(node.fromPod(back).frame).destination, there);
    const error = node.fromPod(
      unreachableFrame({ source: POD[family], destination: there, about: asked }),
    );
    assertEquals(dropped(node, error), undefined);
    const { destination, quoted } = readFrame(error.frame);
    assertEquals([destination, quoted?.source, quoted?.sourcePort], [there, there, PORT]);
  }
});
