/** The hash by which programs choose a Maglev slot; bpf/lib/hash.h is the same. */

import { isIpv4 } from "../../../../datapath/net/ip.ts";

/** A flow to a frontend. Addresses have 16 bytes. */
export interface HashedFlow {
  source: Uint8Array;
  destination: Uint8Array;
  /** Both 0 where the client's address alone decides. */
  sourcePort: number;
  destinationPort: number;
  protocol: number;
}

const rotate = (value: number, bits: number) => (value << bits) | (value >>> (32 - bits));
const swap = (port: number) => ((port & 0xff) << 8) | (port >>> 8);

/** 32 bits of a hash of words, after MurmurHash3 (Austin Appleby, public domain). */
export function hashWords(words: readonly number[], seed: number): number {
  let h = seed | 0;
  for (const word of words) {
    h ^= Math.imul(rotate(Math.imul(word, 0xcc9e2d51), 15), 0x1b873593);
    h = (Math.imul(rotate(h, 13), 5) + 0xe6546b64) | 0;
  }
  h ^= words.length * 4;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** The words of an address: one of IPv4, four of IPv6. */
export function addressWords(address: Uint8Array): number[] {
  const view = new DataView(address.buffer, address.byteOffset, 16);
  return (isIpv4(address) ? [12] : [0, 4, 8, 12]).map((at) => view.getUint32(at, true));
}

/** 32 bits by which a flow finds its slot. */
export function maglevHash(flow: HashedFlow): number {
  return hashWords([
    ...addressWords(flow.source),
    ...addressWords(flow.destination),
    swap(flow.sourcePort) | (swap(flow.destinationPort) << 16),
    flow.protocol,
  ], 0x9747b28c);
}

/** The slot of a table with `size` slots. */
export function slotOf(hash: number, size: number): number {
  return Math.floor(hash * size / 2 ** 32);
}
