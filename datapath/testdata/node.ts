/**
 * A node for packet tests: the programs in the kernel with maps of their own, in a network namespace
 * that the calling thread is in until the node is disposed.
 */

import { assertEquals } from "@std/assert";
import { BpfObject, type BpfProgram, RingBuffer, type VariableValue } from "../bpf/mod.ts";
import { temporaryBpffs } from "../bpf/testdata/lab.ts";
import { CLONE_NEWNET, setns, unshare } from "../bpf/ffi/libc.ts";

import { openMaps, type PilusMaps } from "../maps/mod.ts";
import {
  type CtEntry,
  type Event,
  event,
  EventType,
  IpcacheFlags,
  PolicyDirection,
  type RuleKey,
  RuleVerdict,
} from "../maps/generated.ts";
import { addAddress } from "../net/address.ts";
import { parseCidr, parseIp } from "../net/ip.ts";
import { NO_MAC } from "../net/mac.ts";
import { createVeth, setLink } from "../net/link.ts";
import { NetlinkSocket } from "../net/netlink.ts";
import { currentNamespace } from "../net/netns.ts";
import { replaceNeighbour } from "../net/neighbour.ts";
import { replaceRoute } from "../net/route.ts";
import { type ObjectName, readObject } from "../objects.ts";
import { FAMILIES, type Family } from "./families.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** Verdicts of tc programs, include/uapi/linux/pkt_cls.h. */
export const VERDICT = { unspec: -1, ok: 0, shot: 2, redirect: 7 } as const;

/** Bits of skb->mark, as in bpf/lib/config.h. */
export const MARK = { mask: 0xf00, natDone: 0x300, overlay: 0x400, masquerade: 0x500 } as const;

export interface TestPod {
  id: number;
  ifindex: number;
  identity: number;
  ipv4: string;
  ipv6: string;
  mac: Bytes;
  hostMac: Bytes;
}

function pod(id: number): TestPod {
  return {
    id,
    ifindex: 1100 + id,
    identity: 1000 + id,
    ipv4: `10.1.0.${id}`,
    ipv6: `fd00:1::${id}`,
    mac: Uint8Array.of(2, 0, 0, 1, 0, id),
    hostMac: Uint8Array.of(2, 0, 0, 2, 0, id),
  };
}

/** The pods of the node. */
export const POD = pod(11), OTHER_POD = pod(12);
/** A pod of another node, behind the tunnel. */
export const REMOTE = { ipv4: "10.2.0.3", ipv6: "fd00:2::3", identity: 2001 };
/** The node itself, and the other one. */
export const NODE = { ipv4: "192.0.2.1", ipv6: "2001:db8::1" };
export const OTHER_NODE = { ipv4: "192.0.2.2", ipv6: "2001:db8::2" };
/** The node's address among its pods. */
export const ROUTER = { ipv4: "10.1.0.1", ipv6: "fd00:1::1" };
/** The other node's address among its pods, and where those have theirs from. */
export const OTHER_ROUTER = { ipv4: "10.2.0.1", ipv6: "fd00:2::1" };
export const OTHER_CIDR = { ipv4: "10.2.0.0/24", ipv6: "fd00:2::/64" };
/** An address outside, and one in a prefix that policies know. */
export const WORLD = { ipv4: "198.51.100.7", ipv6: "2001:db8:ffff::7" };
export const PREFIX = {
  ipv4: "203.0.113.9",
  ipv6: "2001:db8:cafe::9",
  identity: 0x01000001,
  cidrs: ["203.0.113.0/24", "2001:db8:cafe::/48"],
};
/** A service whose one backend is port 8080 of OTHER_POD, and one without backends. */
export const SERVICE = { ipv4: "10.96.0.10", ipv6: "fd00:96::10", port: 80, backendPort: 8080 };
export const EMPTY_SERVICE_PORT = 81;
/** A device of the node, and what stands for the tunnel. */
export const DEVICE_IFINDEX = 1200, TUNNEL_IFINDEX = 1201;
/** The device that test runs of XDP are on: the loopback. */
export const XDP_IFINDEX = 1;
export const DEVICE_MAC = Uint8Array.of(2, 0, 0, 3, 0, 0);
export const TUNNEL_MAC = Uint8Array.of(2, 0, 0, 3, 0, 1);

export interface TestEntry {
  direction: keyof typeof PolicyDirection;
  identity?: number;
  protocol?: number;
  port?: number;
  prefixLength?: number;
  verdict?: keyof typeof RuleVerdict;
  precedence?: number;
  cookie?: number;
}

export interface TestSide {
  enforced: boolean;
  defaultCookie?: number;
}

export interface RunResult {
  /** Signed: TC_ACT_UNSPEC is -1. */
  verdict: number;
  frame: Bytes;
  mark: number;
}

/** As in bpf/lib/config.h and service.h. */
export const MAGLEV_SIZE = 16381, MAGLEV_ROW_SLOTS = 512;

const SKB_SIZE = 192; // struct __sk_buff
const MAP_SIZE = 4096;
/** Maps that are never small: their size has a meaning. */
const WHOLE_MAPS = ["pilus_events", "pilus_shares"];

/** The reason of the only drop since the last look at the events; undefined: the packet went on. */
export function dropped(node: TestNode, { verdict }: RunResult): number | undefined {
  const [drop] = node.takeEvents().filter(({ header }) => header.type === EventType.DROP);
  assertEquals(verdict === VERDICT.shot, drop !== undefined, "verdict and event disagree");
  return drop?.reason;
}

/** Segments of a packet that has them. */
export const GSO_SEGMENTS = 3;

/** Linux before 6.3 cannot take IPv6 out of IPv4: there the tunnel's device does. */
export function takesOut(family: Family): boolean {
  const [major = 0, minor = 0] = Deno.osRelease().split(".").map(Number);
  return family === "ipv4" || major > 6 || (major === 6 && minor >= 3);
}

/** Of bpf/lib/fragment_order.h. */
const HELD_BYTES = 2048;

/** struct __sk_buff as test runs take it. `gsoSize` makes it one of several segments. */
export function skbContext(ifindex: number, mark = 0, gsoSize = 0, ingressIfindex = 0): Bytes {
  const ctx = new Uint8Array(SKB_SIZE);
  const view = new DataView(ctx.buffer);
  view.setUint32(8, mark, true);
  view.setUint32(36, ingressIfindex, true);
  view.setUint32(40, ifindex, true);
  if (gsoSize > 0) view.setUint32(164, GSO_SEGMENTS, true);
  view.setUint32(176, gsoSize, true);
  return ctx;
}

export class TestNode implements Disposable {
  readonly maps: PilusMaps;
  readonly events: RingBuffer;
  readonly netlink: NetlinkSocket;
  readonly programs = new Map<string, BpfProgram>();
  readonly #cleanup = new DisposableStack();

  /**
   * @param constants other values than those of a VXLAN node that masquerades
   * @param wholeMaps maps as large as those of a node; without it the large ones are small
   */
  constructor(constants: Record<string, VariableValue> = {}, { wholeMaps = false } = {}) {
    using failed = new DisposableStack();
    const bpffs = failed.use(temporaryBpffs());
    const home = failed.use(currentNamespace());
    unshare(CLONE_NEWNET);
    failed.defer(() => setns(home.fd, CLONE_NEWNET, "home"));
    this.netlink = failed.use(NetlinkSocket.open());
    for (const name of ["pod", "host", "overlay", "socket", "xdp", "garbage"] as const) {
      this.#load(name, bpffs.path, constants, wholeMaps);
    }
    failed.defer(() => this.programs.forEach((program) => program[Symbol.dispose]()));
    this.maps = failed.use(openMaps(bpffs.path));
    this.events = failed.use(new RingBuffer(this.maps.pilus_events));
    this.#makeDevices();
    this.#fillMaps();
    this.#cleanup = failed.move();
  }

  #load(
    name: ObjectName,
    directory: string,
    constants: Record<string, VariableValue>,
    wholeMaps: boolean,
  ): void {
    using object = BpfObject.open(readObject(name));
    const known = new Set(object.btf.variables(".rodata").map((v) => v.name));
    const all: Record<string, VariableValue> = {
      routing_mode: 1,
      tunnel_ifindex: TUNNEL_IFINDEX,
      ...constants,
    };
    object.setConstants(Object.fromEntries(Object.entries(all).filter(([key]) => known.has(key))));
    for (const map of wholeMaps ? [] : object.mapNames) {
      const { maxEntries } = object.mapLayout(map);
      if (maxEntries > 65536 && !WHOLE_MAPS.includes(map)) object.setMaxEntries(map, MAP_SIZE);
    }
    object.pinMaps(directory);
    object.load();
    for (const program of object.programNames) this.programs.set(program, object.program(program));
  }

  #makeDevices(): void {
    const devices = [
      ...[POD, OTHER_POD].map(({ ifindex, hostMac }) => ({ ifindex, mac: hostMac })),
      { ifindex: DEVICE_IFINDEX, mac: DEVICE_MAC },
      { ifindex: TUNNEL_IFINDEX, mac: TUNNEL_MAC },
    ];
    for (const { ifindex, mac } of devices) {
      createVeth(this.netlink, {
        name: `d${ifindex}`,
        ifindex,
        mac,
        mtu: 1500,
        peer: { name: `p${ifindex}` },
      });
      setLink(this.netlink, ifindex, { up: true });
      setLink(this.netlink, `p${ifindex}`, { up: true });
    }
    // the stack forwards, and has an answer for whatever no test gives a route to
    Deno.writeTextFileSync("/proc/sys/net/ipv4/ip_forward", "1");
    Deno.writeTextFileSync("/proc/sys/net/ipv6/conf/all/forwarding", "1");
    for (const all of ["0.0.0.0/0", "::/0"]) {
      replaceRoute(this.netlink, {
        destination: parseCidr(all),
        type: "unreachable",
        priority: 0xffff,
      });
    }
  }

  #fillMaps(): void {
    const { maps } = this;
    for (const family of FAMILIES) {
      const known = (
        address: string,
        identity: number,
        flags: number,
        rest: { ifindex?: number; node?: string } = {},
      ) =>
        maps.pilus_ipcache.set(parseIp(address), {
          identity,
          flags,
          ifindex: rest.ifindex ?? 0,
          node: rest.node ? parseIp(rest.node) : new Uint8Array(16),
        });
      for (const pod of [POD, OTHER_POD]) {
        known(pod[family], pod.identity, IpcacheFlags.LOCAL, { ifindex: pod.ifindex });
      }
      known(REMOTE[family], REMOTE.identity, IpcacheFlags.TUNNEL, { node: OTHER_NODE.ipv4 });
      known(NODE[family], 1, IpcacheFlags.NODE);
      known(OTHER_NODE[family], 6, IpcacheFlags.NODE, { node: OTHER_NODE.ipv4 });
      const { NODE: node, TUNNEL } = IpcacheFlags;
      known(OTHER_ROUTER[family], 6, node | TUNNEL, { node: OTHER_NODE.ipv4 });
      maps.pilus_node_cidrs.set(parseCidr(OTHER_CIDR[family]), parseIp(OTHER_NODE.ipv4));
      known(ROUTER[family], 1, IpcacheFlags.NODE);
      known(SERVICE[family], 2, IpcacheFlags.SERVICE);
      this.setService(SERVICE[family], SERVICE.port, family === "ipv4" ? 1 : 2, [
        { address: OTHER_POD[family], port: SERVICE.backendPort },
      ]);
      this.setService(SERVICE[family], EMPTY_SERVICE_PORT, 9, []);
    }
    for (const text of PREFIX.cidrs) {
      const cidr = parseCidr(text);
      const value = { identity: PREFIX.identity, flags: 0, ifindex: 0, node: new Uint8Array(16) };
      maps.pilus_cidrs.set(cidr, value);
    }
    for (const ifindex of [DEVICE_IFINDEX, XDP_IFINDEX]) {
      maps.pilus_devices.set(ifindex, {
        ifindex,
        mac: DEVICE_MAC,
        ipv4: parseIp(NODE.ipv4),
        ipv6: parseIp(NODE.ipv6),
      });
    }
    maps.pilus_node.set(0, {
      ipv4: parseIp(NODE.ipv4),
      ipv6: parseIp(NODE.ipv6),
      routerIpv4: parseIp(ROUTER.ipv4),
      routerIpv6: parseIp(ROUTER.ipv6),
      denied: 0,
      hostBackends: 0,
      mac: NO_MAC,
      oneDevice: 0,
    });
    this.setPolicy(1);
    this.setEndpoint(POD);
    this.setEndpoint(OTHER_POD);
  }

  /** Gives the node's stack a way to the other node, which small packets into the tunnel need. */
  reachOtherNode(): void {
    addAddress(this.netlink, { ifindex: DEVICE_IFINDEX, cidr: parseCidr(`${NODE.ipv4}/24`) });
    replaceRoute(this.netlink, {
      destination: parseCidr(OTHER_NODE.ipv4),
      ifindex: DEVICE_IFINDEX,
    });
    replaceNeighbour(this.netlink, {
      ifindex: DEVICE_IFINDEX,
      ip: parseIp(OTHER_NODE.ipv4),
      mac: Uint8Array.of(2, 9, 9, 9, 9, 9),
    });
  }

  /**
   * Writes a service for TCP and UDP, the same to both kinds of clients, in place of what `id` had.
   * @param set first row of pilus_backends
   */
  setService(
    address: string,
    port: number,
    set: number,
    backends: { address: string; port: number; flags?: number }[],
    { id = 1, flags = 0, affinityS = 0, table = 0, count = backends.length }: {
      id?: number;
      flags?: number;
      affinityS?: number;
      table?: number;
      count?: number;
    } = {},
  ): void {
    const { maps } = this;
    backends.forEach(({ address, port, flags = 0 }, i) =>
      maps.pilus_backends.set(set + i, {
        address: parseIp(address),
        port,
        flags,
        hop: { ifindex: 0, mtu: 0, nextMac: NO_MAC, ownMac: NO_MAC, resolved: 0n },
        hits: 0n,
      })
    );
    for (const member of [...maps.pilus_backend_index.keys()]) {
      if (member.service === id) maps.pilus_backend_index.delete(member);
    }
    backends.forEach(({ address, port }, i) =>
      maps.pilus_backend_index.set({ address: parseIp(address), service: id, port }, [i + 1, i + 1])
    );
    const side = { set, count, table, total: backends.length };
    const row = { id, flags, affinityS, side: [side, side] as [typeof side, typeof side] };
    for (const protocol of [6, 17]) {
      maps.pilus_services.set({ address: parseIp(address), port, protocol }, row);
    }
  }

  /** Fills a Maglev table of the default size; `slot` gives each slot's value. */
  setTable(table: number, slot: (index: number) => number): void {
    const rows = Math.ceil(MAGLEV_SIZE / MAGLEV_ROW_SLOTS);
    for (let row = 0; row < rows; row++) {
      this.maps.pilus_maglev.set(
        table + row,
        Array.from({ length: MAGLEV_ROW_SLOTS }, (_, i) => slot(row * MAGLEV_ROW_SLOTS + i)),
      );
    }
  }

  /** Writes an endpoint's row. */
  setEndpoint(pod: TestPod, { policy = 1, revision = 1, flags = 0 } = {}): void {
    this.maps.pilus_endpoints.set(pod.ifindex & 0xffff, {
      ...pod,
      policy,
      revision,
      flags,
      ipv4: parseIp(pod.ipv4),
      ipv6: parseIp(pod.ipv6),
    });
  }

  /** Writes a policy; without sides nothing is enforced. */
  setPolicy(
    policy: number,
    { INGRESS, EGRESS, entries = [] }: {
      INGRESS?: TestSide;
      EGRESS?: TestSide;
      entries?: TestEntry[];
    } = {},
  ): void {
    const side = (direction: keyof typeof PolicyDirection, given?: TestSide) => {
      let prefixes = 0;
      for (const e of entries) {
        if (e.direction === direction) prefixes |= 1 << (e.protocol ? e.prefixLength ?? 16 : 31);
      }
      return {
        prefixes: prefixes >>> 0,
        enforced: given?.enforced ? 1 : 0,
        defaultCookie: given?.defaultCookie ?? 0,
      };
    };
    for (const e of entries) {
      const protocol = e.protocol ?? 0;
      const key: RuleKey = {
        policy,
        identity: e.identity ?? 0,
        port: e.port ?? 0,
        protocol,
        prefixLength: protocol ? e.prefixLength ?? 16 : 0,
        direction: PolicyDirection[e.direction],
      };
      this.maps.pilus_rules.set(key, {
        precedence: e.precedence ?? 1,
        cookie: e.cookie ?? 0,
        proxyPort: 0,
        verdict: RuleVerdict[e.verdict ?? "ALLOW"],
      });
    }
    this.maps.pilus_policies.set(policy, {
      side: [side("INGRESS", INGRESS), side("EGRESS", EGRESS)],
      content: 0n,
    });
  }

  /** Runs a program on a frame as if it were on the device. */
  run(
    program: string | BpfProgram,
    frame: Uint8Array,
    { ifindex, mark = 0, gsoSize = 0, ingressIfindex = 0 }: {
      ifindex: number;
      mark?: number;
      gsoSize?: number;
      /** The device that the packet came in by; 0: the stack made it. */
      ingressIfindex?: number;
    },
  ): RunResult {
    const loaded = typeof program === "string" ? this.program(program) : program;
    const result = loaded.testRun({
      data: frame,
      ctx: skbContext(ifindex, mark, gsoSize, ingressIfindex),
      // a fragment that waited takes the place of the first one
      dataOutSize: frame.length + HELD_BYTES,
    });
    return {
      verdict: result.retval,
      frame: result.data,
      mark: new DataView(result.ctx.buffer).getUint32(8, true),
    };
  }

  program(name: string): BpfProgram {
    const program = this.programs.get(name);
    if (!program) throw new RangeError(`No program ${name}`);
    return program;
  }

  /** What a pod sends. */
  fromPod(frame: Uint8Array, pod: TestPod = POD): RunResult {
    return this.run("from_pod", frame, { ifindex: pod.ifindex });
  }

  /** Forgets what the programs remember of addresses for some milliseconds. */
  forgetAddresses(): void {
    const { pilus_senders, pilus_overlay_senders, pilus_local_addresses } = this.maps;
    const forgotten = <Row extends { expires: bigint }>(rows: Row[] = []) =>
      rows.map((row) => ({ ...row, expires: 0n }));
    for (let slot = 0; slot < pilus_senders.maxEntries; slot++) {
      pilus_senders.set(slot, forgotten(pilus_senders.get(slot)));
      pilus_overlay_senders.set(slot, forgotten(pilus_overlay_senders.get(slot)));
      pilus_local_addresses.set(slot, forgotten(pilus_local_addresses.get(slot)));
    }
  }

  /** The events since the last call. */
  takeEvents(): Event[] {
    const events: Event[] = [];
    this.events.drain((view, offset) => events.push(event.decode(view, offset)));
    return events;
  }

  /** What `enum drop_reason` counts: packets in each direction. */
  counted(reason: number): { ingress: number; egress: number } {
    const perCpu = this.maps.pilus_metrics.get(reason) ?? [];
    const sum = (at: number) => perCpu.reduce((n, m) => n + Number(m[at]!.packets), 0);
    return { ingress: sum(0), egress: sum(1) };
  }

  /** The row of the connection between two address-port pairs, given in either order. */
  connection(
    protocol: number,
    [a, aPort]: [string, number],
    [b, bPort]: [string, number],
  ): CtEntry | undefined {
    const key = (low: string, lowPort: number, high: string, highPort: number) => ({
      low: parseIp(low),
      high: parseIp(high),
      lowPort,
      highPort,
      protocol,
    });
    const { pilus_ct } = this.maps;
    return pilus_ct.get(key(a, aPort, b, bPort)) ?? pilus_ct.get(key(b, bPort, a, aPort));
  }

  [Symbol.dispose](): void {
    this.#cleanup.dispose();
  }
}
