/**
 * Frames of every kind. Each is a function of the seed, its sender and its number alone, so that any
 * can be made again.
 */

import { PROTOCOL } from "../../datapath/testdata/packets.ts";
import { Draft, type Family, type Sender, SOURCE_PORTS, type Surroundings } from "./draft.ts";
import { type Ends, type Fragment, type Frame, macText, type Packet } from "./frame.ts";
import { finishHeader, putChecksum, putHeader4, putHeader6 } from "./headers.ts";
import { putIcmp } from "./icmp.ts";

const { icmp: ICMP, icmpv6: ICMPV6, tcp: TCP, udp: UDP } = PROTOCOL;
const IPIP = 4, IPV6 = 41, GRE = 47, SCTP = 132;
const OTHER_PROTOCOLS = [0, 2, 3, 50, 51, 59, 89, 94, 103, 108, 112, SCTP, 135, 136, 253, 255];
const VXLAN_PORTS = [8472, 8472, 8472, 8472, 4789];
/** Datagrams whose parts are sent at about the same time. */
const DATAGRAMS = 2;
/** Where later fragments begin, in words of 8 bytes; first ones often end there. */
const PARTS = [8, 8, 8, 1, 4, 185];
const ETHERTYPES = [0x0800, 0x86dd, 0x0806, 0x8847, 0x8864, 0x88cc, 0x88e5, 0x9000, 0x0026];

/** What of a packet is decided before it is begun. */
interface Plan extends Ends {
  protocol: number;
  /** The destination's. */
  port?: number;
  /** Something is within it. */
  tunnel: boolean;
}

/** Makes the frames of one seed. */
export class Grammar {
  readonly #seed: number;
  readonly #senders: readonly Sender[];
  readonly #draft: Draft;

  constructor(seed: number, senders: readonly Sender[], world: Surroundings) {
    this.#seed = seed;
    this.#senders = senders;
    this.#draft = new Draft(world);
  }

  /** Frame `number` of that sender. */
  frame(sender: number, number: number): Frame {
    const id = (sender << 28 | number) >>> 0;
    this.#draft.begin(this.#seed, this.#senders[sender]!, id);
    const frame = { id, sender, number, ...putEthernet(this.#draft) };
    const { bytes, length } = this.#draft.w;
    return { ...frame, bytes: bytes.slice(0, length) };
  }
}

function putEthernet(d: Draft): Pick<Frame, "destinationMac" | "sourceMac" | "tags" | "packet"> {
  const { mac, nextHops } = d.sender, { macs } = d.world;
  const destination = d.chance(80) ? d.pick(nextHops) : d.pick(macs);
  const source = d.chance(80) ? mac : d.pick(macs);
  d.w.put(destination);
  d.w.put(source);
  const tags = putTags(d);
  const header = { destinationMac: macText(destination), sourceMac: macText(source), tags };
  if (!d.chance(3)) return { ...header, packet: putTyped(d, 0) };
  putOtherEthertype(d);
  return header;
}

/** At times one or two tags of VLANs. */
function putTags(d: Draft): number[] {
  const tags: number[] = [];
  if (!d.chance(8)) return tags;
  for (let n = 1 + d.random(2); n > 0; n--) {
    const tag = d.pick([0, 1, 100, 4094]);
    d.w.u16(n > 1 || d.chance(20) ? 0x88a8 : 0x8100);
    d.w.u16(d.random(8) << 13 | tag);
    tags.push(tag);
  }
  return tags;
}

/** The ethertype and an IP packet. */
function putTyped(d: Draft, depth: number): Packet {
  const family = d.random(2) ? 4 : 6;
  d.w.u16(family === 4 ? 0x0800 : 0x86dd);
  return putPacket(d, family, depth);
}

function putOtherEthertype(d: Draft): void {
  const type = d.pick(ETHERTYPES);
  d.w.u16(type);
  if (type === 0x0806) putArp(d);
  d.payload();
}

function putArp(d: Draft): void {
  const claimed = d.claim(4);
  d.w.put(Uint8Array.of(0, 1, 8, 0, 6, 4, 0, 1 + d.random(4)));
  d.w.put(d.sender.mac);
  d.w.put(claimed.bytes);
  d.w.put(d.pick(d.world.macs));
  d.w.put(d.address(4).bytes);
}

/** An IP packet; the innermost of a tunnel is of at least depth 1. */
function putPacket(d: Draft, family: Family, depth: number): Packet {
  const fragment = d.chance(15) ? planFragment(d) : undefined;
  // parts of a datagram, in the order of sending, in another, twice, some of them, or with others
  const plan = fragment && d.chance(80)
    ? d.asNeighbours(DATAGRAMS, () => planPacket(d, family, depth))
    : planPacket(d, family, depth);
  const packet: Packet = {
    family,
    source: plan.source.text,
    destination: plan.destination.text,
    ttl: d.chance(80) ? 64 : d.pick([0, 1, 2, 255, 255, 255]),
    protocol: plan.protocol,
    headers: [],
    ...fragment ? { fragment } : {},
  };
  const start = d.w.length;
  if (family === 4) putHeader4(d, packet, plan);
  else putHeader6(d, packet, plan);
  const body = d.w.length;
  if (packet.fragment?.later) d.payload();
  else putBody(d, packet, plan, depth);
  finishHeader(d, packet, start, body);
  return packet;
}

function planFragment(d: Draft): Fragment {
  const id = d.chance(80) ? d.random(4) : d.random(0xffff);
  const words = d.chance(50) ? 0 : d.pick(PARTS);
  return { id, later: words > 0, words, last: words > 0 && d.chance(50) };
}

function planPacket(d: Draft, family: Family, depth: number): Plan {
  const { favourites, own } = d.sender;
  if (favourites.length && d.chance(30)) {
    const { address: destination, protocol, port } = d.pick(favourites);
    // one of the other family is nothing to aim at
    if (destination.bytes.length === (family === 4 ? 4 : 16)) {
      const source = d.chance(85) ? own[family] : d.address(family);
      if (d.chance(70)) return { source, destination, protocol, port, tunnel: false };
      return planProtocol(d, family, { source, destination }, depth);
    }
  }
  const source = d.chance(70) ? own[family] : d.address(family);
  return planProtocol(d, family, { source, destination: d.address(family) }, depth);
}

function planProtocol(d: Draft, family: Family, ends: Ends, depth: number): Plan {
  const plain = (protocol: number) => ({ ...ends, protocol, tunnel: false });
  const dice = d.random(100);
  if (dice < 28) return plain(UDP);
  if (dice < 48) return plain(TCP);
  if (dice < 78) return plain(family === 4 ? ICMP : ICMPV6);
  if (dice < 90 && depth < 3) return planTunnel(d, family, ends);
  if (dice < 92) return plain(family === 4 ? ICMPV6 : ICMP);
  return plain(d.pick(OTHER_PROTOCOLS));
}

function planTunnel(d: Draft, family: Family, { source, destination }: Ends): Plan {
  const protocol = d.pick([UDP, UDP, UDP, IPIP, IPV6, GRE]), tunnel = true;
  if (protocol === UDP && d.chance(70)) {
    const nodes = d.world.tunnelEnds[family];
    if (d.chance(60)) source = d.pick(nodes);
    destination = d.pick(nodes);
  }
  return { source, destination, protocol, tunnel };
}

function putBody(d: Draft, packet: Packet, plan: Plan, depth: number): void {
  const { w } = d, { protocol } = packet, { tunnel, port } = plan, at = w.length;
  switch (protocol) {
    case UDP:
      return putUdp(d, packet, plan, depth);
    case TCP:
      putPorts(d, packet, port);
      w.u32(d.random(2 ** 31));
      w.u32(d.random(2 ** 31));
      w.u8(0x50);
      w.u8(d.chance(40) ? 2 : d.random(64));
      w.u16(65535);
      w.u32(0);
      d.payload();
      return putChecksum(d, at, at + 16, packet, plan);
    case ICMP:
    case ICMPV6:
      return putIcmp(d, packet, plan);
    case IPIP:
    case IPV6: {
      if (!tunnel) return d.payload();
      const inner = putPacket(d, protocol === IPIP ? 4 : 6, depth + 1);
      packet.inner = { kind: "ip", tagged: false, packet: inner };
      return;
    }
    case GRE:
      w.u16(0);
      if (!tunnel) return d.payload();
      if (d.chance(50)) {
        w.u16(0x6558);
        packet.inner = { kind: "gre", ...putInnerFrame(d, depth) };
      } else packet.inner = { kind: "gre", tagged: false, packet: putTyped(d, depth + 1) };
      return;
    case SCTP:
      putPorts(d, packet, port);
      w.u32(0);
      return d.payload();
    default:
      return d.payload();
  }
}

function putPorts(d: Draft, packet: Packet, destination?: number): void {
  const { ports } = d.world;
  const from = d.chance(70) ? d.pick(SOURCE_PORTS) : d.pick(ports);
  packet.ports = [from, destination ?? (d.chance(90) ? d.pick(ports) : d.random(65536))];
  d.w.u16(packet.ports[0]);
  d.w.u16(packet.ports[1]);
}

function putUdp(d: Draft, packet: Packet, plan: Plan, depth: number): void {
  const { w } = d, { tunnel } = plan, at = w.length;
  const kind = tunnel ? (d.chance(80) ? "vxlan" : "geneve") : undefined;
  putPorts(d, packet, kind === "geneve" ? 6081 : kind ? d.pick(VXLAN_PORTS) : plan.port);
  w.u32(0);
  if (kind) putOverlay(d, packet, kind, depth);
  else d.payload();
  w.view.setUint16(at + 4, w.length - at);
  if (packet.family === 6 || !tunnel || d.chance(20)) {
    putChecksum(d, at, at + 6, packet, plan);
  }
}

function putOverlay(d: Draft, packet: Packet, kind: "vxlan" | "geneve", depth: number): void {
  const vni = d.chance(90) ? d.pick(d.world.vnis) : d.random(1 << 24);
  if (kind === "vxlan") d.w.u32(d.chance(95) ? 0x08000000 : d.random(2 ** 31));
  else d.w.u32(0x00006558);
  d.w.u32(vni << 8);
  packet.inner = { kind, vni, ...putInnerFrame(d, depth) };
}

function putInnerFrame(d: Draft, depth: number): { tagged: boolean; packet: Packet } {
  d.w.put(d.pick(d.world.macs));
  d.w.put(d.pick(d.world.macs));
  return { tagged: putTags(d).length > 0, packet: putTyped(d, depth + 1) };
}
