/** What a made frame is, and a writer that puts its bytes one behind the other. */

/** An address of either family. */
export interface Address {
  readonly text: string;
  /** 4 or 16. */
  readonly bytes: Uint8Array;
}

/** Whom a packet says it is from and for. */
export interface Ends {
  readonly source: Address;
  readonly destination: Address;
}

/** Which part of a datagram a packet is. */
export interface Fragment {
  id: number;
  /** Not the first. */
  later: boolean;
  /** Where it begins, in words of 8 bytes. */
  words: number;
  last: boolean;
}

/** An IP packet as it was made, for an oracle that must not parse. */
export interface Packet {
  family: 4 | 6;
  source: string;
  destination: string;
  /** Hop limit. */
  ttl: number;
  /** Of what follows options and extension headers. */
  protocol: number;
  /** Of UDP, TCP and SCTP; a later fragment has none. */
  ports?: [source: number, destination: number];
  fragment?: Fragment;
  /** Numbers of IPv6's extension headers, and how many bytes IPv4's options have. */
  headers: number[];
  icmp?: { type: number; quote?: Packet };
  /** What a tunnel holds. */
  inner?: {
    kind: "vxlan" | "geneve" | "ip" | "gre";
    vni?: number;
    tagged: boolean;
    packet?: Packet;
  };
}

/** A frame on its way. */
export interface Frame {
  /** The marker's: sender and number. */
  id: number;
  sender: number;
  number: number;
  destinationMac: string;
  sourceMac: string;
  /** VLAN identifiers, the outer first. */
  tags: number[];
  /** Undefined when it holds no IP. */
  packet?: Packet;
  bytes: Uint8Array<ArrayBuffer>;
}

const MARKER = Uint8Array.of(0x70, 0x69, 0x6c, 0xf5, ...new TextEncoder().encode("silent"));

export function macText(mac: Uint8Array): string {
  return [...mac].map((byte) => byte.toString(16).padStart(2, "0")).join(":");
}

/** Bytes in network order, in a buffer that is used for one frame after the other. */
export class Writer {
  readonly bytes = new Uint8Array(2048);
  readonly view = new DataView(this.bytes.buffer);
  length = 0;

  u8(value: number): void {
    this.bytes[this.length++] = value;
  }

  u16(value: number): void {
    this.view.setUint16(this.length, value);
    this.length += 2;
  }

  u32(value: number): void {
    this.view.setUint32(this.length, value);
    this.length += 4;
  }

  put(bytes: Uint8Array): void {
    this.bytes.set(bytes, this.length);
    this.length += bytes.length;
  }

  zeros(count: number): void {
    this.bytes.fill(0, this.length, this.length += count);
  }

  /** The marker of a frame, for captures to find. */
  marker(id: number): void {
    this.put(MARKER);
    this.u32(id);
  }

  /** Sum of 16-bit words from `at` to the end (RFC 1071), not folded. */
  sum(at: number, end = this.length): number {
    let sum = 0;
    for (; at + 1 < end; at += 2) sum += this.view.getUint16(at);
    return at < end ? sum + (this.bytes[at]! << 8) : sum;
  }
}

/** The checksum of what {@linkcode Writer.sum} has added up. */
export function fold(sum: number): number {
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return ~sum & 0xffff;
}

/** Adds up the pseudo-header of a checksum. */
export function pseudo({ source, destination }: Ends, protocol: number, length: number): number {
  let sum = protocol + length;
  for (const { bytes } of [source, destination]) {
    for (let i = 0; i < bytes.length; i += 2) sum += bytes[i]! << 8 | bytes[i + 1]!;
  }
  return sum;
}
