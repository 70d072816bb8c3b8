/**
 * One pod, or one outside, floods a table that all pods have in common: the others lose nothing that
 * they have, and get what they ask for. What keeps it so is in bpf/lib/share.h and fragment.h.
 */

import { assertEquals } from "@std/assert";
import type { VariableValue } from "./bpf/mod.ts";
import { monotonicNs } from "./bpf/ffi/libc.ts";
import {
  DropReason,
  EventType,
  NatFlags,
  ServiceFlags,
  SharedTable,
  ShareKind,
} from "./maps/generated.ts";
import { parseIp } from "./net/ip.ts";
import {
  DEVICE_IFINDEX,
  MARK,
  NODE,
  OTHER_POD,
  POD,
  SERVICE,
  skbContext,
  TestNode,
  type TestPod,
  VERDICT,
  WORLD,
} from "./testdata/node.ts";
import { frame, ipPacket, PROTOCOL, TCP, tcpFrame, udpFrame } from "./testdata/packets.ts";
import { Trampoline } from "./testdata/trampoline.ts";

type Bytes = Uint8Array<ArrayBuffer>;
type Family = "ipv4" | "ipv6";

/** Values of two bytes. */
const ALL = 65_536;

/** What a victim has and asks for. */
const ROWS = 20;

const numbers = (first: number) => Array.from({ length: ROWS }, (_, i) => first + i);

/** A node with tables of full size, whose rows have been counted, and what floods it. */
class Flooded implements Disposable {
  readonly node: TestNode;
  readonly #trampoline = new Trampoline();

  constructor(readonly family: Family, constants: Record<string, VariableValue> = {}) {
    this.node = new TestNode(constants, { wholeMaps: true });
  }

  /** Deletes and counts, as the agent does. */
  async collect(): Promise<void> {
    await this.node.program("collect_garbage").runElsewhere(new Uint8Array(24));
  }

  /** 65,536 packets that differ in two bytes. */
  flood(program: string, made: Bytes, vary: number, ifindex: number, masqueraded = false): void {
    const mark = masqueraded ? MARK.masquerade : 0;
    const target = this.#trampoline.aim(this.node.program(program), { restore: made, vary, mark });
    const ctx = masqueraded
      ? skbContext(DEVICE_IFINDEX, mark, 0, ifindex)
      : skbContext(ifindex, mark);
    target.testRun({ data: made, ctx, repeat: ALL });
    this.node.takeEvents();
  }

  /** Offset of the ports in a frame without options. */
  get ports(): number {
    return this.family === "ipv4" ? 34 : 54;
  }

  envelope(from: TestPod, to: Record<Family, string>): { source: string; destination: string } {
    return { source: from[this.family], destination: to[this.family] };
  }

  syn(from: TestPod, to: Record<Family, string>, sourcePort: number, destinationPort = 80): Bytes {
    const ports = { ...this.envelope(from, to), sourcePort, destinationPort };
    return tcpFrame({ ...ports, flags: TCP.syn });
  }

  datagram(from: TestPod, to: Record<Family, string>, sourcePort: number, port = 53): Bytes {
    return udpFrame({ ...this.envelope(from, to), sourcePort, destinationPort: port });
  }

  /** A packet of a pod that leaves the node for the world. */
  leave(pod: TestPod, made: Bytes): number {
    return this.node.run("to_netdev", made, {
      ifindex: DEVICE_IFINDEX,
      mark: MARK.masquerade,
      ingressIfindex: pod.ifindex,
    }).verdict;
  }

  /** The reasons of the drops since the last call. */
  drops(): number[] {
    return this.node.takeEvents().filter(({ header }) => header.type === EventType.DROP)
      .map(({ reason }) => reason);
  }

  share(kind: number, pod?: TestPod): { rows: number; refused: number } {
    return this.node.maps.pilus_shares.get(kind << 16 | (pod?.ifindex ?? 0) & 0xffff)!;
  }

  [Symbol.dispose](): void {
    this.#trampoline[Symbol.dispose]();
    this.node[Symbol.dispose]();
  }
}

/** What a flood goes for. */
interface Flood {
  name: string;
  /** What the others have before. */
  before: (f: Flooded) => void;
  flood: (f: Flooded) => void;
  /** How many of the {@linkcode ROWS} things are still there. */
  kept: (f: Flooded) => number;
  /** How many of as many new ones come to be. */
  made: (f: Flooded) => number;
}

const count = (ports: number[], is: (port: number) => boolean) => ports.filter(is).length;

/** Marks all mappings as answered, and idle since. */
function answer({ node }: Flooded, idleS: number): void {
  const idle = BigInt(idleS) * 1_000_000_000n, now = monotonicNs();
  for (const [key, row] of [...node.maps.pilus_nat.entries()]) {
    const used = now > idle ? now - idle : 1n;
    node.maps.pilus_nat.set(key, { ...row, flags: row.flags | NatFlags.REPLIED, used });
  }
}

/** New connections of the pod to the other one's port that are let in. */
const connects = (f: Flooded, from: TestPod, to: Record<Family, string>, first: number) =>
  count(numbers(first), (port) => {
    f.node.fromPod(f.syn(from, to, port), from);
    return f.node.connection(6, [from[f.family], port], [to[f.family], 80]) !== undefined;
  });

const hasConnections = (f: Flooded, from: TestPod, to: Record<Family, string>, first: number) =>
  count(
    numbers(first),
    (port) => f.node.connection(6, [from[f.family], port], [to[f.family], 80]) !== undefined,
  );

/** A half of a datagram. */
const part = (
  f: Flooded,
  from: TestPod,
  to: Record<Family, string>,
  id: number,
  offset: number,
) => {
  const envelope = f.envelope(from, to);
  const fragment = { id, offset, more: offset === 0 };
  const body = new Uint8Array(16);
  new DataView(body.buffer).setUint32(0, 7 << 16 | 53);
  return frame(envelope, ipPacket({ ...envelope, fragment }, PROTOCOL.udp, body));
};

const passes = (f: Flooded, made: Bytes) =>
  f.node.fromPod(made, OTHER_POD).verdict !== VERDICT.shot;

const CHOICE = {
  backend: parseIp("10.2.0.11"),
  port: 8080,
  owner: 0,
  row: 600,
  used: monotonicNs(),
};

/** A service with affinity, whose backends are elsewhere. */
const AFFINE_PORT = 90, AFFINE_ID = 70;

function addAffinity({ node, family }: Flooded): void {
  const prefix = family === "ipv4" ? "10.2.0." : "fd00:2::";
  const backends = [11, 12, 13].map((n) => ({ address: `${prefix}${n}`, port: 8080 }));
  for (let port = AFFINE_PORT; port < AFFINE_PORT + 3; port++) {
    node.setService(SERVICE[family], port, 600, backends, {
      id: AFFINE_ID,
      affinityS: 10_800,
      flags: ServiceFlags.EXTERNAL,
    });
  }
}

const toAffine = (f: Flooded, pod: TestPod, port: number) =>
  f.node.fromPod(f.datagram(pod, SERVICE, port, AFFINE_PORT), pod);

const remembers = ({ node, family }: Flooded, pod: TestPod, port: number) =>
  node.maps.pilus_choices.get({
    client: parseIp(pod[family]),
    frontend: parseIp(SERVICE[family]),
    clientPort: port,
    frontendPort: AFFINE_PORT,
    protocol: PROTOCOL.udp,
  }) !== undefined;

/** The mapping of a datagram to port 53 of the world that kept its port. */
const mapping = ({ node, family }: Flooded, port: number) =>
  node.maps.pilus_nat.get({
    source: parseIp(WORLD[family]),
    destination: parseIp(NODE[family]),
    sourcePort: 53,
    destinationPort: port,
    protocol: PROTOCOL.udp,
  });

const masquerades = (f: Flooded, pod: TestPod, first: number, rows = ROWS) =>
  count(
    numbers(first).slice(0, rows),
    (port) => f.leave(pod, f.datagram(pod, WORLD, port)) !== VERDICT.shot,
  );

const FLOODS: Flood[] = [
  {
    name: "a pod's datagrams to one address and port of the world take no other's ports",
    before(f) {
      masquerades(f, OTHER_POD, 100);
      answer(f, 30);
    },
    flood: (f) => f.flood("to_netdev", f.datagram(POD, WORLD, 1), f.ports, POD.ifindex, true),
    kept: (f) => count(numbers(100), (port) => mapping(f, port) !== undefined),
    made: (f) => masquerades(f, OTHER_POD, 200),
  },
  {
    name: "a pod's datagrams to many ports of the world take no other's mappings",
    before(f) {
      masquerades(f, OTHER_POD, 100);
      answer(f, 30);
    },
    flood(f) {
      for (let port = 1000; port < 1006; port++) {
        f.flood("to_netdev", f.datagram(POD, WORLD, 1, port), f.ports, POD.ifindex, true);
      }
    },
    kept: (f) => count(numbers(100), (port) => mapping(f, port) !== undefined),
    made: (f) => masquerades(f, OTHER_POD, 200),
  },
  {
    name: "a pod's SYNs take no other's connections",
    before: (f) => void connects(f, OTHER_POD, POD, 100),
    flood(f) {
      for (let port = 1000; port < 1016; port++) {
        f.flood("from_pod", f.syn(POD, WORLD, 1, port), f.ports, POD.ifindex);
      }
    },
    kept: (f) => hasConnections(f, OTHER_POD, POD, 100),
    made: (f) => connects(f, OTHER_POD, POD, 200),
  },
  {
    name: "SYNs from outside to a pod take no other's connections, nor those that it begins itself",
    before: (f) => void connects(f, OTHER_POD, POD, 100),
    flood(f) {
      for (let port = 1000; port < 1016; port++) {
        const ports = { sourcePort: 1, destinationPort: port, flags: TCP.syn };
        const made = tcpFrame({ source: WORLD[f.family], destination: POD[f.family], ...ports });
        f.flood("from_netdev", made, f.ports, DEVICE_IFINDEX);
      }
    },
    kept: (f) => hasConnections(f, OTHER_POD, POD, 100),
    made: (f) => Math.min(connects(f, OTHER_POD, POD, 200), connects(f, POD, OTHER_POD, 300)),
  },
  {
    name: "a pod's fragments take no other's datagrams",
    before(f) {
      for (const id of numbers(100)) f.node.fromPod(part(f, OTHER_POD, POD, id, 0), OTHER_POD);
    },
    flood(f) {
      const id = f.family === "ipv4" ? 18 : 60;
      f.flood("from_pod", part(f, POD, WORLD, 0, 0), id, POD.ifindex);
    },
    kept: (f) => count(numbers(100), (id) => passes(f, part(f, OTHER_POD, POD, id, 16))),
    made: (f) =>
      count(numbers(200), (id) => {
        f.node.fromPod(part(f, OTHER_POD, POD, id, 0), OTHER_POD);
        return passes(f, part(f, OTHER_POD, POD, id, 16));
      }),
  },
  {
    name: "a pod's flows to services take no other's choices",
    before(f) {
      addAffinity(f);
      for (const port of numbers(100)) toAffine(f, OTHER_POD, port);
    },
    flood(f) {
      for (let port = AFFINE_PORT; port < AFFINE_PORT + 3; port++) {
        f.flood("from_pod", f.datagram(POD, SERVICE, 1, port), f.ports, POD.ifindex);
      }
    },
    kept: (f) => count(numbers(100), (port) => remembers(f, OTHER_POD, port)),
    made: (f) =>
      count(numbers(200), (port) => {
        toAffine(f, OTHER_POD, port);
        return remembers(f, OTHER_POD, port);
      }),
  },
  {
    name: "clients outside take no pod's affinity",
    before(f) {
      addAffinity(f);
      for (const service of numbers(100)) {
        const key = { client: parseIp(OTHER_POD[f.family]), service };
        f.node.maps.pilus_affinity.set(key, { ...CHOICE, owner: OTHER_POD.ifindex & 0xffff });
      }
    },
    flood(f) {
      for (let third = 0; third < 3; third++) {
        const source = f.family === "ipv4" ? `198.${51 + third}.0.1` : `2001:db8:ff${third}::1`;
        const ports = { sourcePort: 7, destinationPort: AFFINE_PORT };
        const made = udpFrame({ source, destination: SERVICE[f.family], ...ports });
        f.flood("from_netdev", made, f.family === "ipv4" ? 28 : 36, DEVICE_IFINDEX);
      }
    },
    kept: (f) =>
      count(numbers(100), (service) => {
        const key = { client: parseIp(OTHER_POD[f.family]), service };
        return f.node.maps.pilus_affinity.get(key) !== undefined;
      }),
    made(f) {
      toAffine(f, OTHER_POD, 100);
      const key = { client: parseIp(OTHER_POD[f.family]), service: AFFINE_ID };
      return f.node.maps.pilus_affinity.get(key) ? ROWS : 0;
    },
  },
];

for (const { name, before, flood, kept, made } of FLOODS) {
  for (const family of ["ipv4", "ipv6"] as const) {
    Deno.test(`${name} (${family})`, async () => {
      using flooded = new Flooded(family);
      before(flooded);
      await flooded.collect();
      flood(flooded);
      assertEquals([kept(flooded), made(flooded)], [ROWS, ROWS], "kept and made");
    });
  }
}

/** Ages every mapping and connection. */
function age({ node }: Flooded, seconds: number): void {
  const ns = BigInt(seconds) * 1_000_000_000n;
  for (const [key, row] of [...node.maps.pilus_nat.entries()]) {
    node.maps.pilus_nat.set(key, { ...row, used: row.used > ns ? row.used - ns : 1n });
  }
  for (const [key, row] of [...node.maps.pilus_ct.entries()]) {
    node.maps.pilus_ct.set(key, { ...row, expires: row.expires - ns });
  }
}

Deno.test("who has as many ports as are free gets no more, until what it left unanswered has gone", async () => {
  using f = new Flooded("ipv4", { nat_port_min: 1000, nat_port_max: 1099 });
  await f.collect();
  const left = () =>
    count(
      Array.from({ length: 100 }, (_, i) => 1000 + i),
      (port) => f.leave(POD, f.datagram(POD, WORLD, port)) !== VERDICT.shot,
    );
  assertEquals(left(), 50);
  assertEquals(new Set(f.drops()), new Set([DropReason.MAPPING_SHARE_SPENT]));
  assertEquals(f.node.maps.pilus_shared.get(SharedTable.MAPPINGS)?.pressed, 1);
  assertEquals(masquerades(f, OTHER_POD, 1060, 5), 5);
  await f.collect();
  assertEquals([...f.node.maps.pilus_nat.keys()].length, 55);
  // those of who is far from its share stay
  age(f, 2);
  await f.collect();
  const owners = [...f.node.maps.pilus_nat.entries()].map(([, { owner }]) => owner);
  assertEquals(owners, Array(5).fill(OTHER_POD.ifindex & 0xffff));
  assertEquals(left(), 48);
});

Deno.test("a flow finds a port beside those that others have taken one after the other", () => {
  using f = new Flooded("ipv4");
  const first = 32_768, taken = 16_384, flows = 4_000;
  const row = {
    address: parseIp(OTHER_POD.ipv4),
    frontend: parseIp(WORLD.ipv4),
    frontendPort: 53,
    flags: NatFlags.REPLIED,
    owner: OTHER_POD.ifindex & 0xffff,
    used: monotonicNs(),
    acknowledged: [0, 0] as [number, number],
  };
  for (let port = first; port < first + taken; port++) {
    const key = {
      source: parseIp(WORLD.ipv4),
      destination: parseIp(NODE.ipv4),
      sourcePort: 53,
      destinationPort: port,
      protocol: PROTOCOL.udp,
    };
    f.node.maps.pilus_nat.set(key, { ...row, port });
  }
  for (let port = first; port < first + flows; port++) {
    f.leave(POD, f.datagram(POD, WORLD, port));
  }
  assertEquals(f.drops(), []);
  assertEquals(f.share(ShareKind.MAPPINGS, POD).rows, flows);
});

Deno.test("a pass counts each owner's rows as they are", async () => {
  using f = new Flooded("ipv4");
  const rows = (kind: number, pod?: TestPod) => f.share(kind, pod).rows;
  connects(f, POD, OTHER_POD, 100);
  masquerades(f, POD, 100);
  const arriving = { source: WORLD.ipv4, destination: POD.ipv4, flags: TCP.syn };
  for (const sourcePort of [1, 2]) {
    const made = tcpFrame({ ...arriving, sourcePort, destinationPort: 80 });
    f.node.run("from_netdev", made, { ifindex: DEVICE_IFINDEX });
  }
  const fromNode = tcpFrame({ ...arriving, source: NODE.ipv4, sourcePort: 1, destinationPort: 80 });
  f.node.run("to_pod", fromNode, { ifindex: POD.ifindex });
  const { STARTED, ACCEPTED, MAPPINGS } = ShareKind;
  const all = () => [
    rows(STARTED, POD),
    rows(ACCEPTED, POD),
    rows(STARTED),
    rows(MAPPINGS, POD),
  ];
  assertEquals(all(), [ROWS, 2, 1, ROWS]);
  await f.collect();
  assertEquals(all(), [ROWS, 2, 1, ROWS]);
  // evicted or flushed: no program sees it
  f.node.maps.pilus_ct.clear();
  f.node.maps.pilus_nat.clear();
  await f.collect();
  assertEquals(all(), [0, 0, 0, 0]);
  assertEquals(f.node.maps.pilus_shared.get(SharedTable.CONNECTIONS)?.rows, 0);
});

Deno.test("the rows of an endpoint that has gone are deleted", async () => {
  using f = new Flooded("ipv4");
  connects(f, POD, OTHER_POD, 100);
  connects(f, OTHER_POD, POD, 100);
  masquerades(f, POD, 100);
  masquerades(f, OTHER_POD, 200);
  const gone = f.node.maps.pilus_endpoints.get(POD.ifindex)!;
  f.node.maps.pilus_endpoints.set(POD.ifindex, { ...gone, ifindex: 0 });
  await f.collect();
  const { STARTED, MAPPINGS } = ShareKind;
  for (const kind of [STARTED, MAPPINGS]) {
    assertEquals([f.share(kind, POD).rows, f.share(kind, OTHER_POD).rows], [0, ROWS]);
  }
  assertEquals(hasConnections(f, POD, OTHER_POD, 100), 0);
  assertEquals(hasConnections(f, OTHER_POD, POD, 100), ROWS);
});

Deno.test("without an agent that collects, nothing is refused for its share", async () => {
  using f = new Flooded("ipv4", { nat_port_min: 1000, nat_port_max: 1019 });
  await f.collect();
  masquerades(f, POD, 1000);
  assertEquals(new Set(f.drops()), new Set([DropReason.MAPPING_SHARE_SPENT]));
  const shared = f.node.maps.pilus_shared.get(SharedTable.MAPPINGS)!;
  f.node.maps.pilus_shared.set(SharedTable.MAPPINGS, { ...shared, counted: 1n });
  assertEquals(masquerades(f, POD, 1000), ROWS);
});

Deno.test("a connection of who has as many as are free is refused and counted", async () => {
  using f = new Flooded("ipv4");
  await f.collect();
  for (let port = 1000; port < 1004; port++) {
    f.flood("from_pod", f.syn(POD, OTHER_POD, 1, port), f.ports, POD.ifindex);
  }
  // 15 of 16 rows are shared out, and half of them are free
  const spent = f.share(ShareKind.STARTED, POD);
  assertEquals([spent.rows, spent.refused], [245_760, 4 * ALL - 245_760]);
  assertEquals(connects(f, POD, OTHER_POD, 100), 0);
  assertEquals(new Set(f.drops()), new Set([DropReason.CONNECTION_SHARE_SPENT]));
  // what it has goes on
  f.node.fromPod(f.syn(POD, OTHER_POD, 1, 1000));
  assertEquals(f.drops(), []);
});
