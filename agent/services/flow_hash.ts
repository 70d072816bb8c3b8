/** The hash by which programs choose a Maglev slot; bpf/lib/hash.h is the same. */

import { isIpv4 } from "../../datapath/net/ip.ts";

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
const swap = (port: number) => ((port & 0xff) << 8) | (port >> 8);

/** 32 bits, after MurmurHash3 (Austin Appleby, public domain). */
export function maglevHash(flow: HashedFlow): number {
  const first = isIpv4(flow.source) ? 12 : 0;
  const words: number[] = [];
  for (const { buffer, byteOffset } of [flow.source, flow.destination]) {
    const view = new DataView(buffer, byteOffset, 16);
    for (let at = first; at < 16; at += 4) words.push(view.getUint32(at, true));
  }
  words.push(swap(flow.sourcePort) | (swap(flow.destinationPort) << 16), flow.protocol);
  let h = 0x9747b28c | 0;
  for (const word of words) {
    h ^= Math.imul(rotate(Math.imul(word, 0xcc9e2d51), 15), 0x1b873593);
    h = (Math.imul(rotate(h, 13), 5) + 0xe6546b64) | 0;
  }
  h ^= words.length * 4;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** The slot of a table with `size` slots. */
export function slotOf(hash: number, size: number): number {
  return Number((BigInt(hash) * BigInt(size)) >> 32n);
}
