/**
 * Frames of every kind. Each is a function of the seed, its sender and its number alone, so that any
 * can be made again.
 */

import { generator } from "../../datapath/testdata/random.ts";
import { type Address, fold, type Frame, macText, type Packet, pseudo, Writer } from "./frame.ts";

type Family = 4 | 6;
type Random = (below: number) => number;

/** Who sends. */
export interface Sender {
  name: string;
  own: Record<Family, Address>;
  mac: Uint8Array;
  /** MACs that its packets are rightly sent to. */
  nextHops: readonly Uint8Array[];
  /** Addresses and ports to which something of it may come, with the protocol. */
  favourites: readonly { address: Address; protocol: number; port: number }[];
}

/** Packets to a port of `to`, and its answers; `to` may be a service, where the client sees it. */
export interface Flow {
  from: Address;
  to: Address;
  protocol: number;
  port: number;
}

/** What exists. */
export interface Surroundings {
  addresses: Record<Family, readonly Address[]>;
  macs: readonly Uint8Array[];
  ports: readonly number[];
  /** Flows that may exist, to be quoted. */
  flows: readonly Flow[];
  /** Nodes as ends of tunnels. */
  tunnelEnds: Record<Family, readonly Address[]>;
  vnis: readonly number[];
  /** Addresses that no frame may say the MAC of: it would be the wire's end, not a hole. */
  infrastructure: ReadonlySet<string>;
}

const ICMP = 1, IPIP = 4, TCP = 6, UDP = 17, IPV6 = 41, GRE = 47, ICMPV6 = 58;
const OTHER_PROTOCOLS = [0, 2, 3, 50, 51, 59, 89, 94, 103, 108, 112, 132, 135, 136, 253, 255];
const EXTENSIONS = [0, 43, 44, 51, 60];
const SOURCE_PORTS = [40000, 40001, 40002, 40003];
const VXLAN_PORTS = [8472, 8472, 8472, 8472, 4789];
const ETHERTYPES = [0x0800, 0x86dd, 0x0806, 0x8847, 0x8864, 0x88cc, 0x88e5, 0x9000, 0x0026];
/** Frames stay below the wire's MTU. */
const ROOM = 1200;

/** Makes the frames of one seed. */
export class Grammar {
  readonly #seed: number;
  readonly #senders: readonly Sender[];
  readonly #world: Surroundings;
  /** By the address of either end. */
  readonly #flows: ReadonlyMap<string, readonly Flow[]>;
  readonly #w = new Writer();
  #random: Random = () => 0;
  #sender!: Sender;
  #id = 0;

  constructor(seed: number, senders: readonly Sender[], world: Surroundings) {
    this.#seed = seed;
    this.#senders = senders;
    this.#world = world;
    const flows = new Map<string, Flow[]>();
    for (const flow of world.flows) {
      for (const { text } of [flow.from, flow.to]) {
        flows.set(text, [...flows.get(text) ?? [], flow]);
      }
    }
    this.#flows = flows;
  }

  /** Frame `number` of that sender. */
  frame(sender: number, number: number): Frame {
    const w = this.#w;
    this.#random = generator(
      Math.imul(this.#seed ^ number, 0x9e3779b1) ^ Math.imul(sender + 1, 0x85ebca6b),
    );
    this.#sender = this.#senders[sender]!;
    this.#id = (sender << 28 | number) >>> 0;
    w.length = 0;
    const frame = { id: this.#id, sender, number, ...this.#ethernet() };
    return { ...frame, bytes: w.bytes.slice(0, w.length) };
  }

  #chance(percent: number): boolean {
    return this.#random(100) < percent;
  }

  #pick<T>(values: readonly T[]): T {
    return values[this.#random(values.length)]!;
  }

  #family(): Family {
    return this.#random(2) ? 4 : 6;
  }

  #address(family: Family): Address {
    return this.#pick(this.#world.addresses[family]);
  }

  #ethernet(): Pick<Frame, "destinationMac" | "sourceMac" | "tags" | "packet"> {
    const w = this.#w, { mac, nextHops } = this.#sender, { macs } = this.#world;
    const destination = this.#chance(80) ? this.#pick(nextHops) : this.#pick(macs);
    const source = this.#chance(80) ? mac : this.#pick(macs);
    w.put(destination);
    w.put(source);
    const tags = this.#tags(8);
    const macsText = { destinationMac: macText(destination), sourceMac: macText(source), tags };
    if (this.#chance(3)) {
      this.#otherEthertype();
      return macsText;
    }
    return { ...macsText, packet: this.#typed(0) };
  }

  #tags(percent: number): number[] {
    const tags: number[] = [];
    if (!this.#chance(percent)) return tags;
    for (let n = 1 + this.#random(2); n > 0; n--) {
      const tag = this.#pick([0, 1, 100, 4094]);
      this.#w.u16(n > 1 || this.#chance(20) ? 0x88a8 : 0x8100);
      this.#w.u16(this.#random(8) << 13 | tag);
      tags.push(tag);
    }
    return tags;
  }

  /** The ethertype and an IP packet. */
  #typed(depth: number): Packet {
    const family = this.#family();
    this.#w.u16(family === 4 ? 0x0800 : 0x86dd);
    return this.#packet(family, depth);
  }

  #otherEthertype(): void {
    const w = this.#w, type = this.#pick(ETHERTYPES);
    w.u16(type);
    if (type === 0x0806) this.#arp();
    this.#payload();
  }

  #arp(): void {
    const w = this.#w, { infrastructure } = this.#world;
    let claimed = this.#address(4);
    if (infrastructure.has(claimed.text)) claimed = this.#sender.own[4];
    w.put(Uint8Array.of(0, 1, 8, 0, 6, 4, 0, 1 + this.#random(4)));
    w.put(this.#sender.mac);
    w.put(claimed.bytes);
    w.put(this.#pick(this.#world.macs));
    w.put(this.#address(4).bytes);
  }

  /** The marker, and something behind it. */
  #payload(): void {
    this.#w.marker(this.#id);
    const rest = this.#chance(95)
      ? this.#random(24)
      : this.#random(Math.max(1, ROOM - this.#w.length));
    this.#w.zeros(Math.min(rest, 500));
  }

  #ends(family: Family): [source: Address, destination: Address] {
    const source = this.#chance(70) ? this.#sender.own[family] : this.#address(family);
    return [source, this.#address(family)];
  }

  /** An IP packet; the innermost of a tunnel is of at least depth 1. */
  #packet(family: Family, depth: number): Packet {
    const { favourites } = this.#sender;
    if (favourites.length && this.#chance(30)) {
      const wanted = this.#pick(favourites);
      const kind = wanted.address.bytes.length === family * 4 ? wanted : undefined;
      // another family than this packet's is nothing to aim at
      if (family === 4 ? kind?.address.bytes.length === 4 : wanted.address.bytes.length === 16) {
        const source = this.#chance(85) ? this.#sender.own[family] : this.#address(family);
        const way = this.#chance(70) ? wanted : undefined;
        return this.#ip(family, source, wanted.address, depth, way);
      }
    }
    const [source, destination] = this.#ends(family);
    return this.#ip(family, source, destination, depth);
  }

  #protocol(family: Family, depth: number): number {
    const dice = this.#random(100);
    if (dice < 28) return UDP;
    if (dice < 48) return TCP;
    if (dice < 78) return family === 4 ? ICMP : ICMPV6;
    if (dice < 90 && depth < 3) return this.#pick([UDP, UDP, UDP, IPIP, IPV6, GRE]) | 0x100;
    if (dice < 92) return family === 4 ? ICMPV6 : ICMP;
    return this.#pick(OTHER_PROTOCOLS);
  }

  #ip(
    family: Family,
    source: Address,
    destination: Address,
    depth: number,
    wanted?: { protocol: number; port: number },
  ): Packet {
    const w = this.#w;
    const chosen = wanted?.protocol ?? this.#protocol(family, depth);
    const tunnel = chosen > 0xff, protocol = chosen & 0xff;
    if (tunnel && protocol === UDP && this.#chance(70)) {
      if (this.#chance(60)) source = this.#pick(this.#world.tunnelEnds[family]);
      destination = this.#pick(this.#world.tunnelEnds[family]);
    }
    const packet: Packet = {
      family,
      source: source.text,
      destination: destination.text,
      ttl: this.#chance(80) ? 64 : this.#pick([0, 1, 2, 255, 255, 255]),
      protocol,
      headers: [],
    };
    if (this.#chance(12)) {
      const id = this.#chance(80) ? this.#random(8) : this.#random(0xffff);
      packet.fragment = { id, later: this.#chance(50) };
    }
    const start = w.length;
    if (family === 4) this.#header4(packet, source, destination);
    else this.#header6(packet, source, destination);
    const body = w.length;
    if (packet.fragment?.later) this.#payload();
    else this.#body(packet, source, destination, tunnel, depth, wanted?.port);
    this.#finish(packet, start, body, source, destination);
    return packet;
  }

  #header4(packet: Packet, source: Address, destination: Address): void {
    const w = this.#w, { fragment } = packet;
    const options = this.#chance(10) ? 1 + this.#random(10) : 0;
    w.u8(0x45 + options);
    w.u8(this.#chance(90) ? 0 : this.#random(256));
    w.u16(0);
    w.u16(fragment?.id ?? this.#random(0xffff));
    if (fragment) w.u16(fragment.later ? this.#pick([0x2001, 0x2004, 0x0008, 0x00b9]) : 0x2000);
    else w.u16(this.#chance(50) ? 0x4000 : 0);
    w.u8(packet.ttl);
    w.u8(packet.protocol);
    w.u16(0);
    w.put(source.bytes);
    w.put(destination.bytes);
    if (!options) return;
    packet.headers.push(options * 4);
    const at = w.length;
    w.zeros(options * 4);
    w.bytes.fill(1, at, w.length);
    // source routes, the frontend of direct return, router alert, a timestamp
    const kind = this.#pick([131, 137, 154, 148, 68]);
    if (options < 2) return;
    w.bytes.set([kind, 7, kind === 68 ? 5 : 4], at);
    w.bytes.set(this.#address(4).bytes, at + 3);
  }

  #header6(packet: Packet, source: Address, destination: Address): void {
    const w = this.#w, { fragment } = packet;
    const kinds: number[] = [];
    if (this.#chance(20)) {
      for (let n = 1 + this.#random(7); n > 0; n--) {
        kinds.push(this.#pick(EXTENSIONS.filter((kind) => kind !== 44 || !fragment)));
      }
    }
    if (fragment) kinds.splice(this.#random(kinds.length + 1), 0, 44);
    packet.headers = kinds;
    w.u32(0x60000000);
    w.u16(0);
    w.u8(kinds[0] ?? packet.protocol);
    w.u8(packet.ttl);
    w.put(source.bytes);
    w.put(destination.bytes);
    for (const [i, kind] of kinds.entries()) {
      w.u8(kinds[i + 1] ?? packet.protocol);
      if (kind === 44) {
        w.u8(0);
        const later = fragment?.later;
        w.u16(fragment ? (later ? this.#pick([9, 33, 64, 1480]) : 1) : 0);
        w.u32(fragment?.id ?? this.#random(8));
      } else if (kind === 43) {
        w.u8(2);
        w.put(Uint8Array.of(this.#pick([0, 2, 3, 4]), this.#random(2), 0, 0, 0, 0));
        w.put(this.#address(6).bytes);
      } else if (kind === 51) {
        w.u8(4);
        w.zeros(22);
      } else {
        w.u8(0);
        w.put(Uint8Array.of(1, 4, 0, 0, 0, 0));
      }
    }
  }

  #body(
    packet: Packet,
    source: Address,
    destination: Address,
    tunnel: boolean,
    depth: number,
    port?: number,
  ): void {
    const w = this.#w, { protocol, family } = packet, at = w.length;
    switch (protocol) {
      case UDP: {
        const kind = tunnel ? (this.#chance(80) ? "vxlan" : "geneve") : undefined;
        const chosen = kind === "geneve" ? 6081 : kind ? this.#pick(VXLAN_PORTS) : port;
        this.#ports(packet, chosen);
        w.u32(0);
        if (kind) this.#overlay(packet, kind, depth);
        else this.#payload();
        w.view.setUint16(at + 4, w.length - at);
        if (family === 6 || !tunnel || this.#chance(20)) {
          this.#checksum(at, at + 6, packet, source, destination);
        }
        return;
      }
      case TCP:
        this.#ports(packet, port);
        w.u32(this.#random(2 ** 31));
        w.u32(this.#random(2 ** 31));
        w.u8(0x50);
        w.u8(this.#chance(40) ? 2 : this.#random(64));
        w.u16(65535);
        w.u32(0);
        this.#payload();
        return this.#checksum(at, at + 16, packet, source, destination);
      case ICMP:
      case ICMPV6:
        return this.#icmp(packet, source, destination);
      case IPIP:
      case IPV6:
        if (!tunnel) return this.#payload();
        packet.inner = {
          kind: "ip",
          tagged: false,
          packet: this.#packet(protocol === IPIP ? 4 : 6, depth + 1),
        };
        return;
      case GRE: {
        w.u16(0);
        if (!tunnel) return this.#payload();
        if (this.#chance(50)) {
          w.u16(0x6558);
          packet.inner = { kind: "gre", ...this.#innerFrame(depth) };
        } else packet.inner = { kind: "gre", tagged: false, packet: this.#typed(depth + 1) };
        return;
      }
      case 132:
        this.#ports(packet, port);
        w.u32(0);
        return this.#payload();
      default:
        return this.#payload();
    }
  }

  #ports(packet: Packet, destination?: number): void {
    const { ports } = this.#world;
    const from = this.#chance(70) ? this.#pick(SOURCE_PORTS) : this.#pick(ports);
    packet.ports = [
      from,
      destination ?? (this.#chance(90) ? this.#pick(ports) : this.#random(65536)),
    ];
    this.#w.u16(packet.ports[0]);
    this.#w.u16(packet.ports[1]);
  }

  #overlay(packet: Packet, kind: "vxlan" | "geneve", depth: number): void {
    const w = this.#w,
      vni = this.#chance(90) ? this.#pick(this.#world.vnis) : this.#random(1 << 24);
    if (kind === "vxlan") w.u32(this.#chance(95) ? 0x08000000 : this.#random(2 ** 31));
    else w.u32(0x00006558);
    w.u32(vni << 8);
    packet.inner = { kind, vni, ...this.#innerFrame(depth) };
  }

  #innerFrame(depth: number): { tagged: boolean; packet: Packet } {
    this.#w.put(this.#pick(this.#world.macs));
    this.#w.put(this.#pick(this.#world.macs));
    return { tagged: this.#tags(8).length > 0, packet: this.#typed(depth + 1) };
  }

  #icmp(packet: Packet, source: Address, destination: Address): void {
    const w = this.#w, at = w.length, { family } = packet;
    const errors = family === 4 ? [3, 3, 4, 11, 12] : [1, 2, 3, 4];
    const discovery = family === 6 && this.#chance(15);
    const type = discovery
      ? 133 + this.#random(5)
      : this.#chance(50)
      ? this.#pick(errors)
      : this.#chance(40)
      ? this.#pick(family === 4 ? [0, 8] : [128, 129])
      : this.#random(256);
    packet.icmp = { type };
    if (discovery && this.#chance(80)) packet.ttl = 255;
    w.u8(type);
    w.u8(this.#chance(60) ? this.#random(5) : this.#random(256));
    w.u16(0);
    if (errors.includes(type)) {
      w.u16(this.#random(2) * this.#random(64));
      w.u16(this.#pick([0, 68, 1280, 1450, 1500, 65535]));
      if (this.#chance(97)) packet.icmp.quote = this.#quote(family, source, destination);
    } else if (discovery) {
      w.u32(this.#random(2) ? 0xe0000000 : 0);
      let about = this.#address(6);
      if (type === 136 && this.#world.infrastructure.has(about.text)) about = this.#sender.own[6];
      w.put(about.bytes);
      if (this.#chance(50)) w.put(Uint8Array.of(type === 136 ? 2 : 1, 1, ...this.#sender.mac));
    } else {
      w.u16(this.#random(4));
      w.u16(this.#random(65536));
    }
    this.#payload();
    this.#checksum(at, at + 2, packet, source, destination);
  }

  /** A quoted packet: of a flow that the destination may have, in either direction, or anything. */
  #quote(family: Family, source: Address, destination: Address): Packet {
    const low = this.#pick(SOURCE_PORTS);
    const known = this.#flows.get(destination.text);
    if (known && this.#chance(60)) {
      const { from, to, protocol, port } = this.#pick(known);
      return from.text === destination.text
        ? this.#quoted(family, from, to, protocol, [low, port])
        : this.#quoted(family, to, from, protocol, [port, low]);
    }
    const from = this.#chance(70) ? destination : this.#address(family);
    const to = this.#chance(70) ? source : this.#address(family);
    const protocol = this.#pick([UDP, TCP, family === 4 ? ICMP : ICMPV6, 132]);
    const port = this.#pick(this.#world.ports);
    return this.#quoted(family, from, to, protocol, this.#chance(70) ? [port, low] : [low, port]);
  }

  #quoted(
    family: Family,
    source: Address,
    destination: Address,
    protocol: number,
    ports: [number, number],
  ): Packet {
    const w = this.#w, start = w.length;
    if (family === 4) {
      w.put(Uint8Array.of(0x45, 0, 0, 120, 0, 1, 0, 0, 63, protocol, 0, 0));
    } else {
      w.u32(0x60000000);
      w.put(Uint8Array.of(0, 100, protocol, 63));
    }
    w.put(source.bytes);
    w.put(destination.bytes);
    if (family === 4) w.view.setUint16(start + 10, fold(w.sum(start)));
    for (const port of ports) w.u16(port);
    w.u32(0x00640000);
    const packet = { family, ttl: 63, protocol, ports, headers: [] };
    return { ...packet, source: source.text, destination: destination.text };
  }

  #checksum(
    at: number,
    field: number,
    packet: Packet,
    source: Address,
    destination: Address,
  ): void {
    const w = this.#w, plain = packet.protocol === ICMP;
    const sum = w.sum(at) +
      (plain ? 0 : pseudo(source, destination, packet.protocol, w.length - at));
    w.view.setUint16(field, this.#chance(98) ? fold(sum) || 0xffff : this.#random(65536));
  }

  /** Lengths and the header's checksum, at times wrong ones. */
  #finish(
    packet: Packet,
    start: number,
    body: number,
    _source: Address,
    _destination: Address,
  ): void {
    const w = this.#w;
    // all fragments but the last are of whole words
    if (packet.fragment) { while ((w.length - body) % 8) w.u8(0); }
    const lie = this.#chance(1) ? this.#random(40) - 20 : 0;
    if (packet.family === 4) {
      w.view.setUint16(start + 2, Math.max(20, w.length - start + lie));
      const header = (w.bytes[start]! & 15) * 4;
      w.view.setUint16(start + 10, 0);
      w.view.setUint16(start + 10, this.#chance(99) ? fold(w.sum(start, start + header)) : 1);
    } else w.view.setUint16(start + 4, Math.max(0, w.length - start - 40 + lie));
  }
}
