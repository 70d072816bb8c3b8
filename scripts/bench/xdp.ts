/**
 * What a packet costs in the XDP load balancer, in nanoseconds net of an empty program run the same
 * way, beside a floor of the same run: parse a TCP packet and one hash look-up. A trampoline makes the
 * packet anew before each run and varies its flow. Every figure is the least of some rounds, with the
 * median beside it; differences under 20 % are noise on a shared machine.
 *
 * Usage: taskset -c 1 deno run -A scripts/bench/xdp.ts [ROUNDS]. Writes dist/bench/xdp.json.
 */

import {
  BpfObject,
  type BpfProgram,
  type MapDescriptor,
  TypedMap,
} from "../../datapath/bpf/mod.ts";
import { temporaryBpffs } from "../../datapath/bpf/testdata/lab.ts";
import { CLONE_NEWNET, unshare } from "../../datapath/bpf/ffi/libc.ts";
import { maps as descriptors, ServiceFlags } from "../../datapath/maps/generated.ts";
import { addAddress } from "../../datapath/net/address.ts";
import { parseCidr, parseIp } from "../../datapath/net/ip.ts";
import { createVeth, setLink } from "../../datapath/net/link.ts";
import { replaceNeighbour } from "../../datapath/net/neighbour.ts";
import { NetlinkSocket } from "../../datapath/net/netlink.ts";
import { replaceRoute } from "../../datapath/net/route.ts";
import { readObject } from "../../datapath/objects.ts";
import { TCP, tcpFrame } from "../../datapath/testdata/packets.ts";
import { compileBpf } from "../compile_bpf.ts";
import { FAMILIES, type Family } from "../../datapath/testdata/families.ts";

const REPEAT = 1_000_000;
const ROUNDS = Number(Deno.args[0] ?? 9);
/** Services by the last 16 bits of their address; a power of two for the trampoline. */
const SERVICES = 1024, BACKENDS = 10;
const MAGLEV_SIZE = 16381, ROW_SLOTS = 512, ROWS = Math.ceil(MAGLEV_SIZE / ROW_SLOTS);
/** Test runs are on the loopback. */
const XDP_IFINDEX = 1;
const DEVICE = 1200, MAC = Uint8Array.of(2, 0, 0, 0, 0, 9);
const NODE = { ipv4: "192.0.2.1", ipv6: "2001:db8::1" };
const XDP = { pass: 2, tx: 3, redirect: 4 } as const;
const BEFORE_HEADER = 24, FRAME_MAX = 128; // struct before of xdp_trampoline.bpf.c

interface Flows {
  /** A power of two that come in no order; 0: one. */
  flows?: number;
  /** Each packet is of a flow that was never seen. */
  fresh?: boolean;
  services?: number;
}

interface Row {
  case: string;
  metric: string;
  value: number;
  unit: string;
  floor: number;
  ratio: number;
}

const service = (family: Family, index: number) =>
  family === "ipv4" ? `198.18.${index >> 8}.${index & 255}` : `2001:db8:18::${index.toString(16)}`;
const backend = (family: Family, index: number) =>
  family === "ipv4"
    ? `192.0.${10 + (index >> 8)}.${index & 255}`
    : `2001:db8:10::${(index + 1).toString(16)}`;

unshare(CLONE_NEWNET);
using cleanup = new DisposableStack();
const bpffs = cleanup.use(temporaryBpffs());
const netlink = cleanup.use(NetlinkSocket.open());
const object = cleanup.use(BpfObject.open(readObject("xdp")));
object.setMaxEntries("pilus_maglev", 1 + SERVICES * ROWS);
object.pinMaps(bpffs.path);
object.load();
const balancer = cleanup.use(object.program("xdp_ingress"));
const open = <K, V>(descriptor: MapDescriptor<K, V>) =>
  cleanup.use(TypedMap.openPinned(`${bpffs.path}/${descriptor.name}`, descriptor));
const maps = {
  node: open(descriptors.pilus_node),
  devices: open(descriptors.pilus_devices),
  services: open(descriptors.pilus_services),
  backends: open(descriptors.pilus_backends),
  maglev: open(descriptors.pilus_maglev),
  nat: open(descriptors.pilus_nat),
};
const tools = cleanup.use(
  BpfObject.open(compileBpf(
    new URL("../../datapath/testdata/xdp_trampoline.bpf.c", import.meta.url).pathname,
  )),
);
tools.load();
const trampoline = cleanup.use(tools.program("trampoline"));
const empty = cleanup.use(tools.program("empty"));
const floorProgram = cleanup.use(tools.program("floor_of_all"));
const before = cleanup.use(tools.map("before")), target = cleanup.use(tools.map("target"));

prepareNetwork();
fillMaps();

function prepareNetwork(): void {
  Deno.writeTextFileSync("/proc/sys/net/ipv4/ip_forward", "1");
  Deno.writeTextFileSync("/proc/sys/net/ipv6/conf/all/forwarding", "1");
  setLink(netlink, "lo", { up: true });
  createVeth(netlink, { name: "d0", ifindex: DEVICE, mac: MAC, mtu: 1500, peer: { name: "p0" } });
  for (const link of [DEVICE, "p0"]) setLink(netlink, link, { up: true });
  for (const cidr of [`${NODE.ipv4}/16`, `${NODE.ipv6}/32`]) {
    addAddress(netlink, { ifindex: DEVICE, cidr: parseCidr(cidr) });
  }
  for (const cidr of ["192.0.0.0/16", "2001:db8:10::/64"]) {
    replaceRoute(netlink, { destination: parseCidr(cidr), ifindex: DEVICE });
  }
}

function fillMaps(): void {
  const none = new Uint8Array(16), noMac = new Uint8Array(6);
  maps.node.set(0, {
    ipv4: parseIp(NODE.ipv4),
    ipv6: parseIp(NODE.ipv6),
    routerIpv4: none,
    routerIpv6: none,
    denied: 0,
    hostBackends: 0,
    mac: MAC,
    oneDevice: 1,
  });
  for (const ifindex of [DEVICE, XDP_IFINDEX]) {
    const [ipv4, ipv6] = [parseIp(NODE.ipv4), parseIp(NODE.ipv6)];
    maps.devices.set(ifindex, { ifindex, mac: MAC, ipv4, ipv6 });
  }
  const hop = { ifindex: 0, mtu: 0, nextMac: noMac, ownMac: noMac, resolved: 0n };
  for (const [at, family] of FAMILIES.entries()) {
    for (let index = 0; index < SERVICES; index++) {
      for (let i = 0; i < BACKENDS; i++) {
        const number = index * BACKENDS + i;
        const ip = parseIp(backend(family, number));
        replaceNeighbour(netlink, { ifindex: DEVICE, ip, mac: Uint8Array.of(2, 1, 0, 0, 0, i) });
        maps.backends.set(1 + at * SERVICES * BACKENDS + number, {
          address: ip,
          port: 8080,
          flags: 0,
          hop,
          hits: 0n,
        });
      }
    }
  }
  for (let row = 0; row < SERVICES * ROWS; row++) {
    maps.maglev.set(
      1 + row,
      Array.from({ length: ROW_SLOTS }, (_, i) => {
        const index = Math.imul(row * ROW_SLOTS + i, 0x9e3779b1) >>> 0;
        return (index % BACKENDS) | (index % BACKENDS) << 14;
      }),
    );
  }
}

function setServices(family: Family, count: number, mode: number): void {
  maps.services.clear();
  const first = 1 + (family === "ipv6" ? SERVICES * BACKENDS : 0);
  for (let index = 0; index < count; index++) {
    const side = {
      set: first + index * BACKENDS,
      count: BACKENDS,
      table: 1 + index * ROWS,
      total: BACKENDS,
    };
    maps.services.set(
      { address: parseIp(service(family, index)), port: 80, protocol: 6 },
      { id: index + 1, flags: ServiceFlags.EXTERNAL | mode, affinityS: 0, side: [side, side] },
    );
  }
}

function aim(program: BpfProgram, frame: Uint8Array, { flows = 0, fresh, services = 0 }: Flows) {
  const value = new Uint8Array(BEFORE_HEADER + FRAME_MAX);
  const view = new DataView(value.buffer);
  view.setUint32(0, frame.length, true);
  view.setUint32(4, flows, true);
  view.setUint32(8, services, true);
  view.setUint32(12, started, true);
  view.setUint32(16, fresh ? 1 : 0, true);
  value.set(frame, BEFORE_HEADER);
  before.set(new Uint8Array(4), value);
  const fd = new Uint8Array(4);
  new DataView(fd.buffer).setUint32(0, program.fd, true);
  target.set(new Uint8Array(4), fd);
  if (fresh) started += REPEAT;
}

/** Flows of the last rounds are not new any more. */
let started = 0;

function rounds(program: BpfProgram, frame: Uint8Array, flows: Flows, verdicts: number[]) {
  const times: number[] = [];
  // the first round fills the tables
  for (let round = 0; round <= ROUNDS; round++) {
    aim(program, frame, flows);
    const { retval, duration } = trampoline.testRun({
      data: frame,
      repeat: REPEAT,
      dataOutSize: 512,
    });
    if (!verdicts.includes(retval)) {
      throw new Error(`Verdict ${retval}: the figure would mean nothing`);
    }
    if (round > 0) times.push(duration);
  }
  times.sort((a, b) => a - b);
  return { least: times[0]!, median: times[times.length >> 1]! };
}

const rows: Row[] = [];
let floor = 0;

function measure(
  name: string,
  program: BpfProgram,
  frame: Uint8Array,
  flows: Flows,
  verdicts: number[],
) {
  const own = rounds(empty, frame, flows, [XDP.pass]);
  const all = rounds(program, frame, flows, verdicts);
  const value = all.least - own.least, median = all.median - own.median;
  const ratio = (n: number) => Math.round(n / floor * 100) / 100;
  if (program === floorProgram) floor = value;
  for (const [metric, n] of [["least", value], ["median", median]] as const) {
    rows.push({ case: name, metric, value: n, unit: "ns/packet", floor, ratio: ratio(n) });
  }
  console.log(
    `${name.padEnd(58)} ${String(value).padStart(6)} ${String(median).padStart(6)} ${
      ratio(value).toFixed(2).padStart(6)
    }`,
  );
}

const sent = [XDP.tx, XDP.redirect];
const packet = (family: Family, to: string, flags: number) =>
  tcpFrame({
    destinationMac: MAC,
    source: family === "ipv4" ? "10.1.0.0" : "2001:db8:99::",
    destination: to,
    sourcePort: 1024,
    destinationPort: 80,
    flags,
    payload: new Uint8Array(family === "ipv4" ? 10 : 0),
  });

console.log(
  `${"case".padEnd(58)} ${"least".padStart(6)} ${"median".padStart(6)} ${"floors".padStart(6)}`,
);
for (const family of FAMILIES) {
  const established = packet(family, service(family, 0), TCP.ack);
  measure(`floor: parse and one hash look-up, ${family}`, floorProgram, established, {}, [
    XDP.pass,
  ]);
  for (const count of [1, SERVICES]) {
    const of = `${count === 1 ? "1 service" : "1,024 services"}, ${family}`;
    const services = count === 1 ? 0 : count;
    setServices(family, count, 0);
    const stranger = packet(family, family === "ipv4" ? "192.0.2.99" : "2001:db8:77::1", TCP.ack);
    measure(`not a service, ${of}`, balancer, stranger, {}, [XDP.pass]);
    const modes = {
      "DSR IPIP": ServiceFlags.DSR_IPIP,
      "DSR option": ServiceFlags.DSR_OPTION,
      SNAT: 0,
    };
    for (const [mode, flags] of Object.entries(modes)) {
      setServices(family, count, flags);
      maps.nat.clear();
      measure(`${mode}, established, 1 flow, ${of}`, balancer, established, {}, sent);
      if (family === "ipv6") continue;
      for (const flows of [65536, 262144]) {
        maps.nat.clear();
        const options = { flows, services };
        measure(
          `${mode}, established, ${flows >> 10}k flows, ${of}`,
          balancer,
          established,
          options,
          sent,
        );
      }
      const syn = packet(family, service(family, 0), TCP.syn);
      // a port space that is full passes packets on
      const verdicts = [...sent, XDP.pass];
      measure(
        `${mode}, SYN of a new flow each, ${of}`,
        balancer,
        syn,
        { fresh: true, services },
        verdicts,
      );
    }
  }
}
Deno.mkdirSync("dist/bench", { recursive: true });
Deno.writeTextFileSync("dist/bench/xdp.json", JSON.stringify(rows, null, 2) + "\n");
