/** Addresses of nodes' pod CIDRs that no known pod has: nobody's, and no part of the world. */

import { assertEquals } from "@std/assert";
import { DropReason, EventType, IpcacheFlags, ServiceFlags } from "./maps/generated.ts";
import { parseCidr } from "./net/ip.ts";
import { replaceRoute } from "./net/route.ts";
import {
  DEVICE_IFINDEX,
  OTHER_CIDR,
  OTHER_POD,
  POD,
  REMOTE,
  SERVICE,
  TestNode,
  VERDICT,
  WORLD,
} from "./testdata/node.ts";
import {
  echoFrame,
  readFrame,
  TCP,
  tcpFrame,
  udpFrame,
  unreachableFrame,
} from "./testdata/packets.ts";
import { FAMILIES, type Family } from "./testdata/families.ts";

const UNMANAGED = 3, UNKNOWN = { ipv4: "10.2.0.77", ipv6: "fd00:2::77" };
/** Type and code of the error by which a router says that there is no such host. */
const HOST_UNREACHABLE = { ipv4: [3, 1], ipv6: [1, 3] };
const ROUTINGS = {
  vxlan: {},
  native: { routing_mode: 0, tunnel_ifindex: 0 },
} as const;

/** A node that knows the pod CIDRs of the other one, and has routes there. */
function nodeOf(routing: keyof typeof ROUTINGS): TestNode {
  const node = new TestNode(ROUTINGS[routing]);
  for (const family of FAMILIES) {
    node.maps.pilus_cidrs.set(parseCidr(OTHER_CIDR[family]), {
      identity: UNMANAGED,
      flags: IpcacheFlags.VACANT,
      ifindex: 0,
      node: new Uint8Array(16),
    });
    node.setService(SERVICE[family], SERVICE.port, family === "ipv4" ? 1 : 2, [
      { address: OTHER_POD[family], port: SERVICE.backendPort },
    ], { flags: ServiceFlags.EXTERNAL });
    replaceRoute(node.netlink, {
      destination: parseCidr(OTHER_CIDR[family]),
      ifindex: DEVICE_IFINDEX,
    });
  }
  return node;
}

type Make = (ends: { source: string; destination: string }) => Uint8Array<ArrayBuffer>;

const ports = { sourcePort: 4000, destinationPort: 8080 };
const KINDS: Record<string, Make> = {
  "a SYN": (ends) => tcpFrame({ ...ends, ...ports, flags: TCP.syn }),
  "a segment of a connection": (ends) => tcpFrame({ ...ends, ...ports, flags: TCP.ack }),
  "a datagram": (ends) => udpFrame({ ...ends, ...ports }),
  "a ping": (ends) => echoFrame({ ...ends, id: 7 }),
};

/** The drops since the last look: reason, and the identities of both ends. */
function drops(node: TestNode): number[][] {
  return node.takeEvents().filter(({ header }) => header.type === EventType.DROP)
    .map((event) => [event.reason, event.sourceIdentity, event.destinationIdentity]);
}

for (const routing of ["vxlan", "native"] as const) {
  for (const family of FAMILIES) {
    Deno.test(`a pod is told that nobody has the address (${routing}, ${family})`, () => {
      using node = nodeOf(routing);
      for (const [kind, make] of Object.entries(KINDS)) {
        const ends = { source: POD[family], destination: UNKNOWN[family] };
        const { verdict, frame } = node.fromPod(make(ends));
        assertEquals(verdict, VERDICT.redirect, kind);
        assertEquals(drops(node), [[DropReason.NO_KNOWN_POD, POD.identity, UNMANAGED]], kind);
        const answer = readFrame(frame);
        assertEquals([answer.source, answer.destination], [ends.destination, ends.source], kind);
        assertEquals([answer.icmpType, answer.payload[1]], HOST_UNREACHABLE[family], kind);
        assertEquals(answer.quoted?.source, ends.source, kind);
      }
      // no answer to an answer
      const about = tcpFrame({
        source: UNKNOWN[family],
        destination: POD[family],
        ...ports,
        flags: TCP.syn,
      });
      const error = unreachableFrame({
        source: POD[family],
        destination: UNKNOWN[family],
        about,
      });
      assertEquals(node.fromPod(error).verdict, VERDICT.shot);
      assertEquals(drops(node).length, 1);
      // who is known is reached
      const known = udpFrame({ source: POD[family], destination: REMOTE[family], ...ports });
      node.fromPod(known);
      assertEquals(drops(node), []);
    });
  }
}

/** Where packets come from outside, and to whom. */
const WAYS: [name: string, program: string, to: (family: Family) => string, came: number][] = [
  ["a pod", "from_netdev", (family) => POD[family], 0],
  ["a pod, forwarded by the stack", "to_pod", (family) => POD[family], DEVICE_IFINDEX],
  ["a service", "from_netdev", (family) => SERVICE[family], 0],
];

for (const [name, program, to, ingressIfindex] of WAYS) {
  for (const family of FAMILIES) {
    Deno.test(`what nobody's address sends to ${name} is not judged as the world (${family})`, () => {
      using node = nodeOf("native");
      const ifindex = program === "to_pod" ? POD.ifindex : DEVICE_IFINDEX;
      const send = (source: string) => {
        const destinationPort = to(family) === SERVICE[family] ? SERVICE.port : 8080;
        const made = udpFrame({ source, destination: to(family), ...ports, destinationPort });
        node.run(program, made, { ifindex, ...(ingressIfindex ? { ingressIfindex } : {}) });
        return drops(node).map(([reason]) => reason);
      };
      assertEquals(send(UNKNOWN[family]), [DropReason.NO_KNOWN_POD]);
      assertEquals(node.maps.pilus_ct.count(), 0);
      assertEquals(send(WORLD[family]).includes(DropReason.NO_KNOWN_POD), false);
    });
  }
}
