/**
 * Internet addresses and prefixes in the project's one form: 16 bytes in network order, IPv4 mapped
 * to `::ffff:a.b.c.d` (RFC 4291, 2.5.5.2), prefix lengths counted over the 128 bits.
 */

import { smallBytes } from "../bpf/small_bytes.ts";

/** Bits before the IPv4 part of a mapped address. */
export const IPV4_PREFIX_BITS = 96;

/** A prefix; host bits of `address` are kept as they were written. */
export interface Cidr {
  /** 16 bytes, network order. */
  address: Uint8Array<ArrayBuffer>;
  /** 0..128; an IPv4 /24 is 120. */
  prefixLength: number;
}

const DOT = 0x2e, ZERO = 0x30;

/** Byte by byte, as there are very many: a regular expression takes several times as long. */
function parseIpv4(text: string): Uint8Array<ArrayBuffer> | undefined {
  const bytes = smallBytes(16);
  let at = 12, value = -1;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === DOT) {
      if (value < 0 || at === 15) return undefined;
      bytes[at++] = value;
      value = -1;
      continue;
    }
    const digit = code - ZERO;
    if (digit < 0 || digit > 9 || value === 0) return undefined;
    value = value < 0 ? digit : 10 * value + digit;
    if (value > 255) return undefined;
  }
  if (value < 0 || at < 15) return undefined;
  bytes[at] = value;
  bytes[10] = bytes[11] = 0xff;
  return bytes;
}

function parseIpv6(text: string): Uint8Array<ArrayBuffer> | undefined {
  let source = text;
  const lastColon = source.lastIndexOf(":");
  if (source.includes(".")) {
    const tail = parseIpv4(source.slice(lastColon + 1));
    if (!tail) return undefined;
    const word = (i: number) => ((tail[i]! << 8) | tail[i + 1]!).toString(16);
    source = `${source.slice(0, lastColon + 1)}${word(12)}:${word(14)}`;
  }
  const halves = source.split("::");
  if (halves.length > 2) return undefined;
  const words = (half: string) => half === "" ? [] : half.split(":");
  const head = words(halves[0]!);
  const tail = halves.length === 2 ? words(halves[1]!) : [];
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const bytes = smallBytes(16);
  const all = [...head, ...new Array<string>(missing).fill("0"), ...tail];
  for (const [i, word] of all.entries()) {
    if (!/^[0-9a-fA-F]{1,4}$/.test(word)) return undefined;
    const value = parseInt(word, 16);
    bytes[2 * i] = value >> 8;
    bytes[2 * i + 1] = value & 0xff;
  }
  return bytes;
}

/** `text` as 16 bytes, or undefined when it is no address. Zones (`%eth0`) and leading zeros in IPv4 are refused. */
export function tryParseIp(text: string): Uint8Array<ArrayBuffer> | undefined {
  return text.includes(":") ? parseIpv6(text) : parseIpv4(text);
}

/** `text`, an IPv4 or IPv6 address, as 16 bytes. Throws TypeError when it is none. */
export function parseIp(text: string): Uint8Array<ArrayBuffer> {
  const bytes = tryParseIp(text);
  if (!bytes) throw new TypeError(`Not an IPv4 or IPv6 address: ${JSON.stringify(text)}`);
  return bytes;
}

/** Whether the 16 bytes hold a mapped IPv4 address. */
export function isIpv4(ip: Uint8Array): boolean {
  for (let i = 0; i < 10; i++) if (ip[i] !== 0) return false;
  return ip[10] === 0xff && ip[11] === 0xff;
}

/** The address that stands for none (`::`). Shared: it must not be written to. */
export const NO_ADDRESS: Uint8Array<ArrayBuffer> = new Uint8Array(16);

/** The address as text: dotted for mapped IPv4, else RFC 5952. Takes 16 bytes, or 4 for plain IPv4. */
export function formatIp(ip: Uint8Array): string {
  if (ip.length === 4) return ip.join(".");
  if (ip.length !== 16) {
    throw new TypeError(`An address has 16 bytes, and this one has ${ip.length}`);
  }
  // not a template's text, which would be a tree of its parts, nor a part of the bytes, which takes longer
  if (isIpv4(ip)) return [ip[12], ip[13], ip[14], ip[15]].join(".");
  const words: number[] = [];
  for (let i = 0; i < 16; i += 2) words.push((ip[i]! << 8) | ip[i + 1]!);
  // The longest run of at least two zero words becomes "::"; the first of equals (RFC 5952, 4.2).
  let start = -1, length = 1;
  for (let i = 0; i < 8; i++) {
    let end = i;
    while (end < 8 && words[end] === 0) end++;
    if (end - i > length) [start, length] = [i, end - i];
    i = Math.max(i, end - 1);
  }
  const text = (part: number[]) => part.map((word) => word.toString(16)).join(":");
  if (start < 0) return text(words);
  return `${text(words.slice(0, start))}::${text(words.slice(start + length))}`;
}

/** Address and port as one text; the address alone when there is no port. */
export function formatSocketAddress(ip: string, port: number | undefined): string {
  if (port === undefined) return ip;
  return ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`;
}

/** The 4 bytes of a mapped IPv4 address or the 16 of an IPv6 one: what netlink and packets carry. */
export function rawIp(ip: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return isIpv4(ip) ? ip.subarray(12) : ip;
}

/** 4 or 16 raw bytes as 16. */
export function ipFromRaw(raw: Uint8Array): Uint8Array<ArrayBuffer> {
  const ip = smallBytes(16);
  if (raw.length === 16) {
    ip.set(raw);
  } else if (raw.length === 4) {
    ip[10] = ip[11] = 0xff;
    ip.set(raw, 12);
  } else {
    throw new TypeError(`An address has 4 or 16 bytes, and this one has ${raw.length}`);
  }
  return ip;
}

/** Whether two 16-byte addresses are equal. */
export function equalIp(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = 0; i < 16; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** The address as a 128-bit number. */
export function ipToBigint(ip: Uint8Array): bigint {
  const view = new DataView(ip.buffer, ip.byteOffset, 16);
  return (view.getBigUint64(0) << 64n) | view.getBigUint64(8);
}

/** The address of a 128-bit number. Throws RangeError outside 0..2^128-1. */
function ipFromBigint(value: bigint): Uint8Array<ArrayBuffer> {
  if (value < 0n || value >> 128n !== 0n) {
    throw new RangeError(`Not within 0 and 2^128-1: ${value}`);
  }
  const ip = new Uint8Array(16);
  const view = new DataView(ip.buffer);
  view.setBigUint64(0, value >> 64n);
  view.setBigUint64(8, value & 0xffff_ffff_ffff_ffffn);
  return ip;
}

/** `ip` plus `offset`. Throws RangeError when it runs out of the 128 bits. */
export function addToIp(ip: Uint8Array, offset: bigint | number): Uint8Array<ArrayBuffer> {
  return ipFromBigint(ipToBigint(ip) + BigInt(offset));
}

/** `text`, such as `10.0.0.0/8`, as a prefix, or undefined. Without `/n` it is the one address. */
export function tryParseCidr(text: string): Cidr | undefined {
  const slash = text.indexOf("/");
  const address = tryParseIp(slash < 0 ? text : text.slice(0, slash));
  if (!address) return undefined;
  if (slash < 0) return { address, prefixLength: 128 };
  const digits = text.slice(slash + 1);
  const ipv4 = !text.includes(":");
  const bits = Number(digits);
  if (!/^(0|[1-9][0-9]{0,2})$/.test(digits) || bits > (ipv4 ? 32 : 128)) return undefined;
  return { address, prefixLength: ipv4 ? bits + IPV4_PREFIX_BITS : bits };
}

/** `text` as a prefix; without `/n` it is the one address. Throws TypeError when it is none. */
export function parseCidr(text: string): Cidr {
  const cidr = tryParseCidr(text);
  if (!cidr) throw new TypeError(`Not an IPv4 or IPv6 prefix: ${JSON.stringify(text)}`);
  return cidr;
}

/** Whether the prefix is of IPv4 addresses: mapped, and at least 96 bits long. */
export function isIpv4Cidr({ address, prefixLength }: Cidr): boolean {
  return prefixLength >= IPV4_PREFIX_BITS && isIpv4(address);
}

/** The prefix as text with its family's own length: `10.0.0.0/8`, `fd00::/48`. */
export function formatCidr(cidr: Cidr): string {
  const ipv4 = isIpv4Cidr(cidr);
  return `${formatIp(cidr.address)}/${cidr.prefixLength - (ipv4 ? IPV4_PREFIX_BITS : 0)}`;
}

/** The prefix with its host bits cleared. */
export function maskCidr({ address, prefixLength }: Cidr): Cidr {
  const masked = new Uint8Array(16);
  for (let i = 0; i < 16; i++) {
    const bits = Math.min(8, Math.max(0, prefixLength - 8 * i));
    masked[i] = address[i]! & (0xff00 >> bits);
  }
  return { address: masked, prefixLength };
}

/** Whether the address lies in the prefix. */
export function cidrContains({ address, prefixLength }: Cidr, ip: Uint8Array): boolean {
  for (let i = 0; i < 16; i++) {
    const bits = prefixLength - 8 * i;
    if (bits <= 0) return true;
    const mask = bits >= 8 ? 0xff : (0xff00 >> bits) & 0xff;
    if (((address[i]! ^ ip[i]!) & mask) !== 0) return false;
  }
  return true;
}

/** Whether every address of `inner` lies in `outer`. */
export function cidrContainsCidr(outer: Cidr, inner: Cidr): boolean {
  return outer.prefixLength <= inner.prefixLength && cidrContains(outer, inner.address);
}

/** The number of addresses in the prefix. */
export function cidrSize({ prefixLength }: Cidr): bigint {
  return 1n << BigInt(128 - prefixLength);
}

/** The prefix's lowest address plus `index`. Throws RangeError when that lies outside it. */
export function cidrAddress(cidr: Cidr, index: bigint | number): Uint8Array<ArrayBuffer> {
  if (BigInt(index) < 0n || BigInt(index) >= cidrSize(cidr)) {
    throw new RangeError(`${formatCidr(cidr)} has no address number ${index}`);
  }
  return addToIp(maskCidr(cidr).address, index);
}

/** 127.0.0.0/8, ::1 and the unspecified address: nothing that is on a network. */
export function isLoopback(ip: Uint8Array): boolean {
  if (isIpv4(ip)) return ip[12] === 127;
  return ip.subarray(0, 15).every((byte) => byte === 0) && ip[15]! <= 1;
}

/** Whether it is of fe80::/10; IPv4's 169.254.0.0/16 is routed by some networks, and is none here. */
export function isLinkLocal(ip: Uint8Array): boolean {
  return ip[0] === 0xfe && (ip[1]! & 0xc0) === 0x80;
}

/**
 * Whether no other host is reached by the address: unspecified, loopback, link-local, or multicast of
 * the link (RFC 6890, RFC 4291).
 */
export function isSpecialIp(ip: Uint8Array): boolean {
  const multicast = isIpv4(ip)
    ? ip[12] === 224 && ip[13] === 0 && ip[14] === 0
    : ip[0] === 0xff && (ip[1]! & 0x0f) === 2;
  const rest = isIpv4(ip) ? ip.subarray(12) : ip;
  const linkLocal = isIpv4(ip) ? ip[12] === 169 && ip[13] === 254 : isLinkLocal(ip);
  return multicast || isLoopback(ip) || linkLocal || rest.every((byte) => byte === 0);
}
