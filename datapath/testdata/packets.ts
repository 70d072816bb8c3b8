/** Made packets for tests: frames of both families, and a reader that verifies each checksum. */

import { concat } from "@std/bytes/concat";
import { formatIp, isIpv4, parseIp, rawIp } from "../net/ip.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** IANA protocol numbers. */
export const PROTOCOL = { icmp: 1, tcp: 6, udp: 17, icmpv6: 58 } as const;

/** TCP flags (RFC 9293, 3.1). */
export const TCP = { fin: 1, syn: 2, rst: 4, psh: 8, ack: 16 } as const;

export const ETHERNET_HEADER = 14;

/** What every frame has. Addresses are text. */
export interface Envelope {
  source: string;
  destination: string;
  /** @default {64} */
  ttl?: number;
  /** 6 bytes. @default {02:00:00:00:00:01} */
  sourceMac?: Uint8Array;
  /** 6 bytes. @default {02:00:00:03:00:00}, that of the node's device */
  destinationMac?: Uint8Array;
  /** Makes it a part of a datagram: `offset` in bytes, a multiple of 8. */
  fragment?: { id: number; offset: number; more: boolean };
  /** Of IPv4. */
  dontFragment?: boolean;
  /** Words of IPv4 options, or 8-byte destination options of IPv6, before the payload. */
  options?: number;
}

const SOURCE_MAC = Uint8Array.of(2, 0, 0, 0, 0, 1);
const DESTINATION_MAC = Uint8Array.of(2, 0, 0, 3, 0, 0);

/** The Internet checksum (RFC 1071): 0 over what holds a right one. */
export function checksum(...parts: Uint8Array[]): number {
  const all = concat(parts);
  let sum = 0;
  for (let i = 0; i < all.length; i += 2) sum += (all[i]! << 8) | (all[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function pseudoHeader(source: Bytes, destination: Bytes, protocol: number, length: number): Bytes {
  const rest = source.length === 4
    ? Uint8Array.of(0, protocol, length >> 8, length & 0xff)
    : Uint8Array.of(0, 0, length >> 8, length & 0xff, 0, 0, 0, protocol);
  return concat([source, destination, rest]);
}

/** Offset of the checksum in the L4 header, where the protocol has one. */
function checksumOffset(protocol: number): number | undefined {
  switch (protocol) {
    case PROTOCOL.tcp:
      return 16;
    case PROTOCOL.udp:
      return 6;
    case PROTOCOL.icmp:
    case PROTOCOL.icmpv6:
      return 2;
  }
}

/** An IP packet; the payload's checksum is set, except in a part of a datagram. */
export function ipPacket(envelope: Envelope, protocol: number, payload: Uint8Array): Bytes {
  const source = rawIp(parseIp(envelope.source));
  const destination = rawIp(parseIp(envelope.destination));
  const { ttl = 64, fragment, dontFragment = false, options = 0 } = envelope;
  const body = concat([payload]);
  const at = checksumOffset(protocol);
  if (at !== undefined && !fragment && body.length >= at + 2) {
    body[at] = body[at + 1] = 0;
    const pseudo = protocol === PROTOCOL.icmp
      ? new Uint8Array()
      : pseudoHeader(source, destination, protocol, body.length);
    const sum = checksum(pseudo, body) || (protocol === PROTOCOL.udp ? 0xffff : 0);
    body[at] = sum >> 8;
    body[at + 1] = sum & 0xff;
  }
  if (source.length === 4) {
    const header = new Uint8Array(20 + 4 * options);
    const view = new DataView(header.buffer);
    header.fill(1, 20); // no operation
    view.setUint8(0, 0x40 | header.length / 4);
    view.setUint16(2, header.length + body.length);
    view.setUint16(4, fragment?.id ?? 0x1234);
    const place = fragment ? (fragment.more ? 0x2000 : 0) | fragment.offset / 8 : 0;
    view.setUint16(6, (dontFragment ? 0x4000 : 0) | place);
    view.setUint8(8, ttl);
    view.setUint8(9, protocol);
    header.set(source, 12);
    header.set(destination, 16);
    view.setUint16(10, checksum(header));
    return concat([header, body]);
  }
  const chain: Uint8Array[] = [];
  let next: number = protocol;
  if (fragment) {
    const extension = new Uint8Array(8);
    const view = new DataView(extension.buffer);
    view.setUint8(0, next);
    view.setUint16(2, fragment.offset | Number(fragment.more));
    view.setUint32(4, fragment.id);
    chain.unshift(extension);
    next = 44;
  }
  for (let i = 0; i < options; i++) {
    chain.unshift(Uint8Array.of(next, 0, 1, 4, 0, 0, 0, 0));
    next = 60;
  }
  const rest = concat([...chain, body]);
  const header = new Uint8Array(40);
  const view = new DataView(header.buffer);
  view.setUint8(0, 0x60);
  view.setUint16(4, rest.length);
  view.setUint8(6, next);
  view.setUint8(7, ttl);
  header.set(source, 8);
  header.set(destination, 24);
  return concat([header, rest]);
}

/** The packet in an Ethernet frame. */
export function frame(envelope: Envelope, packet: Uint8Array): Bytes {
  const { sourceMac = SOURCE_MAC, destinationMac = DESTINATION_MAC } = envelope;
  const type = packet[0]! >> 4 === 6 ? [0x86, 0xdd] : [0x08, 0x00];
  return concat([destinationMac, sourceMac, Uint8Array.from(type), packet]);
}

/** A frame with ports. */
export interface Ports extends Envelope {
  sourcePort: number;
  destinationPort: number;
  payload?: Uint8Array;
}

export function tcpFrame(options: Ports & { flags: number }): Bytes {
  const header = new Uint8Array(20);
  const view = new DataView(header.buffer);
  view.setUint16(0, options.sourcePort);
  view.setUint16(2, options.destinationPort);
  view.setUint32(4, 1000);
  view.setUint8(12, 0x50);
  view.setUint8(13, options.flags);
  view.setUint16(14, 65535);
  return frame(
    options,
    ipPacket(options, PROTOCOL.tcp, concat([header, options.payload ?? new Uint8Array()])),
  );
}

export function udpFrame(options: Ports): Bytes {
  const { payload = new Uint8Array(4) } = options;
  const header = new Uint8Array(8);
  const view = new DataView(header.buffer);
  view.setUint16(0, options.sourcePort);
  view.setUint16(2, options.destinationPort);
  view.setUint16(4, 8 + payload.length);
  return frame(options, ipPacket(options, PROTOCOL.udp, concat([header, payload])));
}

/** A frame in the tunnel between two nodes (RFC 7348); without `checksum`, UDP's is zero. */
export function vxlanFrame(
  options: Envelope & { vni: number; about: Uint8Array; checksum?: boolean; port?: number },
): Bytes {
  const header = Uint8Array.of(8, 0, 0, 0, options.vni >> 16, options.vni >> 8, options.vni, 0);
  const made = udpFrame({
    ...options,
    sourcePort: 50000,
    destinationPort: options.port ?? 8472,
    payload: concat([header, options.about]),
  });
  if (!options.checksum) made.fill(0, ETHERNET_HEADER + 26, ETHERNET_HEADER + 28);
  return made;
}

function isIpv4Text(address: string): boolean {
  return isIpv4(parseIp(address));
}

/** ICMP or ICMPv6 by the family of the source. `rest` is what follows the checksum. */
export function icmpFrame(
  options: Envelope & { type: number; code?: number; rest: Uint8Array },
): Bytes {
  const protocol = isIpv4Text(options.source) ? PROTOCOL.icmp : PROTOCOL.icmpv6;
  const message = concat([Uint8Array.of(options.type, options.code ?? 0, 0, 0), options.rest]);
  return frame(options, ipPacket(options, protocol, message));
}

/** An echo request or reply. */
export function echoFrame(options: Envelope & { id: number; reply?: boolean }): Bytes {
  const v4 = isIpv4Text(options.source);
  const type = options.reply ? (v4 ? 0 : 129) : v4 ? 8 : 128;
  const rest = Uint8Array.of(options.id >> 8, options.id & 0xff, 0, 1, 9, 9, 9, 9);
  return icmpFrame({ ...options, type, rest });
}

/**
 * Destination unreachable (port) about the frame `about`, of which `quoted` bytes are quoted; by
 * default the header and 8 bytes of IPv4 (RFC 792), and 256 of IPv6.
 */
export function unreachableFrame(options: Envelope & { about: Bytes; quoted?: number }): Bytes {
  const v4 = isIpv4Text(options.source);
  const { about } = options;
  const quoted = options.quoted ?? (v4 ? (about[ETHERNET_HEADER]! & 15) * 4 + 8 : 256);
  const quote = about.slice(ETHERNET_HEADER, ETHERNET_HEADER + quoted);
  return icmpFrame({
    ...options,
    type: v4 ? 3 : 1,
    code: v4 ? 3 : 4,
    rest: concat([new Uint8Array(4), quote]),
  });
}

export interface ArpOptions {
  operation: number;
  senderMac: Uint8Array;
  sender: string;
  target: string;
}

export function arpFrame({ operation, senderMac, sender, target }: ArpOptions): Bytes {
  return concat([
    new Uint8Array(6).fill(0xff),
    senderMac,
    Uint8Array.of(0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, operation),
    senderMac,
    rawIp(parseIp(sender)),
    new Uint8Array(6),
    rawIp(parseIp(target)),
  ]);
}

/** A neighbour solicitation (RFC 4861, 4.3). */
export function solicitationFrame(
  options: Envelope & { target: string; linkLayer?: Uint8Array },
): Bytes {
  const option = options.linkLayer
    ? concat([Uint8Array.of(1, 1), options.linkLayer])
    : new Uint8Array();
  const rest = concat([new Uint8Array(4), parseIp(options.target), option]);
  return icmpFrame({ ...options, ttl: 255, type: 135, rest });
}

/** What a frame says. */
export interface Packet {
  destinationMac: Bytes;
  sourceMac: Bytes;
  source: string;
  destination: string;
  ttl: number;
  protocol: number;
  /** Of TCP and UDP; the identifier of an echo, twice. */
  sourcePort: number;
  destinationPort: number;
  icmpType?: number;
  /** Of an ICMP error: what it quotes. Its checksums are not verified. */
  quoted?: Packet;
  /** The L4 header and what follows. */
  payload: Bytes;
}

/** Reads a frame that holds IP. Throws Error when a checksum is wrong. */
export function readFrame(bytes: Uint8Array): Packet {
  return {
    ...readPacket(bytes.slice(ETHERNET_HEADER), true),
    destinationMac: bytes.slice(0, 6),
    sourceMac: bytes.slice(6, 12),
  };
}

function readPacket(ip: Bytes, whole: boolean): Packet {
  const v6 = ip[0]! >> 4 === 6;
  const [source, destination] = v6
    ? [ip.slice(8, 24), ip.slice(24, 40)]
    : [ip.slice(12, 16), ip.slice(16, 20)];
  let protocol = v6 ? ip[6]! : ip[9]!;
  let offset = v6 ? 40 : (ip[0]! & 15) * 4;
  let later = !v6 && (((ip[6]! << 8) | ip[7]!) & 0x1fff) !== 0;
  let part = !v6 && (((ip[6]! << 8) | ip[7]!) & 0x3fff) !== 0;
  while (v6 && (protocol === 60 || protocol === 44)) {
    if (protocol === 44) {
      part = true;
      later = (((ip[offset + 2]! << 8) | ip[offset + 3]!) & 0xfff8) !== 0;
    }
    const length = protocol === 44 ? 8 : 8 * (ip[offset + 1]! + 1);
    protocol = ip[offset]!;
    offset += length;
  }
  if (!v6 && checksum(ip.slice(0, offset)) !== 0) throw new Error("Wrong IPv4 header checksum");
  const end = v6 ? 40 + ((ip[4]! << 8) | ip[5]!) : (ip[2]! << 8) | ip[3]!;
  const payload = ip.slice(offset, whole ? end : undefined);
  const view = new DataView(payload.buffer);
  const at = checksumOffset(protocol);
  const none = protocol === PROTOCOL.udp && !v6 && payload.length >= 8 && view.getUint16(6) === 0;
  if (whole && !part && at !== undefined && !none) {
    const pseudo = protocol === PROTOCOL.icmp
      ? new Uint8Array()
      : pseudoHeader(source, destination, protocol, payload.length);
    if (checksum(pseudo, payload) !== 0) {
      throw new Error(`Wrong checksum of protocol ${protocol}`);
    }
  }
  const packet: Packet = {
    destinationMac: new Uint8Array(),
    sourceMac: new Uint8Array(),
    source: formatIp(source),
    destination: formatIp(destination),
    ttl: v6 ? ip[7]! : ip[8]!,
    protocol,
    sourcePort: 0,
    destinationPort: 0,
    payload,
  };
  if (later) return packet;
  if (protocol === PROTOCOL.tcp || protocol === PROTOCOL.udp) {
    packet.sourcePort = view.getUint16(0);
    packet.destinationPort = view.getUint16(2);
  } else if (protocol === PROTOCOL.icmp || protocol === PROTOCOL.icmpv6) {
    const type = packet.icmpType = payload[0]!;
    const echo = v6 ? type === 128 || type === 129 : type === 0 || type === 8;
    const error = v6 ? type >= 1 && type <= 4 : type === 3 || type === 11 || type === 12;
    if (echo) packet.sourcePort = packet.destinationPort = view.getUint16(4);
    if (error) packet.quoted = readPacket(payload.slice(8), false);
  }
  return packet;
}
