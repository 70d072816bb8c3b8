/** Headers of IP with their options and extension headers, lengths and checksums, at times wrong ones. */

import { PROTOCOL } from "../../datapath/testdata/packets.ts";
import type { Draft } from "./draft.ts";
import { type Ends, fold, type Packet, pseudo } from "./frame.ts";

/** Bytes that most first fragments have. */
const FIRST = 64;
const EXTENSIONS = [0, 43, 44, 51, 60];

export function putHeader4(d: Draft, packet: Packet, ends: Ends): void {
  const w = d.w, { fragment } = packet;
  const options = d.chance(10) ? 1 + d.random(10) : 0;
  w.u8(0x45 + options);
  w.u8(d.chance(90) ? 0 : d.random(256));
  w.u16(0);
  w.u16(fragment?.id ?? d.random(0xffff));
  if (fragment) w.u16(fragment.words | (fragment.last ? 0 : 0x2000));
  else w.u16(d.chance(50) ? 0x4000 : 0);
  w.u8(0);
  w.u8(packet.protocol);
  w.u16(0);
  w.put(ends.source.bytes);
  w.put(ends.destination.bytes);
  if (!options) return;
  packet.headers.push(options * 4);
  const at = w.length;
  w.zeros(options * 4);
  w.bytes.fill(1, at, w.length);
  // source routes, the frontend of direct return, router alert, a timestamp
  const kind = d.pick([131, 137, 154, 148, 68]);
  if (options < 2) return;
  w.bytes.set([kind, 7, kind === 68 ? 5 : 4], at);
  w.bytes.set(d.address(4).bytes, at + 3);
}

export function putHeader6(d: Draft, packet: Packet, ends: Ends): void {
  const w = d.w, { fragment } = packet;
  const kinds: number[] = [];
  if (d.chance(20)) {
    for (let n = 1 + d.random(7); n > 0; n--) {
      kinds.push(d.pick(EXTENSIONS.filter((kind) => kind !== 44 || !fragment)));
    }
  }
  if (fragment) kinds.splice(d.random(kinds.length + 1), 0, 44);
  packet.headers = kinds;
  w.u32(0x60000000);
  w.u16(0);
  w.u8(kinds[0] ?? packet.protocol);
  w.u8(0);
  w.put(ends.source.bytes);
  w.put(ends.destination.bytes);
  for (const [i, kind] of kinds.entries()) {
    w.u8(kinds[i + 1] ?? packet.protocol);
    if (kind === 44) {
      w.u8(0);
      w.u16(fragment ? fragment.words << 3 | (fragment.last ? 0 : 1) : 0);
      w.u32(fragment?.id ?? d.random(8));
    } else if (kind === 43) {
      w.u8(2);
      w.put(Uint8Array.of(d.pick([0, 2, 3, 4]), d.random(2), 0, 0, 0, 0));
      w.put(d.address(6).bytes);
    } else if (kind === 51) {
      w.u8(4);
      w.zeros(22);
    } else {
      w.u8(0);
      w.put(Uint8Array.of(1, 4, 0, 0, 0, 0));
    }
  }
}

/** The checksum, at `field`, of what begins at `at`. */
export function putChecksum(
  d: Draft,
  at: number,
  field: number,
  packet: Packet,
  ends: Ends,
): void {
  const w = d.w, plain = packet.protocol === PROTOCOL.icmp;
  const sum = w.sum(at) +
    (plain ? 0 : pseudo(ends, packet.protocol, w.length - at));
  w.view.setUint16(field, d.chance(98) ? fold(sum) || 0xffff : d.random(65536));
}

/** What of the header is known when all is there: TTL, length and checksum, at times wrong ones. */
export function finishHeader(d: Draft, packet: Packet, start: number, body: number): void {
  const w = d.w;
  const { fragment } = packet;
  if (fragment && !fragment.last) {
    // whole words; of a first one, often up to where a later one begins
    while ((w.length - body) % 8) w.u8(0);
    const length = w.length - body;
    if (!fragment.later && length < FIRST && d.chance(80)) w.zeros(FIRST - length);
  }
  w.bytes[start + (packet.family === 4 ? 8 : 7)] = packet.ttl;
  const lie = d.chance(1) ? d.random(40) - 20 : 0;
  if (packet.family === 4) {
    w.view.setUint16(start + 2, Math.max(20, w.length - start + lie));
    const header = (w.bytes[start]! & 15) * 4;
    w.view.setUint16(start + 10, 0);
    w.view.setUint16(start + 10, d.chance(99) ? fold(w.sum(start, start + header)) : 1);
  } else w.view.setUint16(start + 4, Math.max(0, w.length - start - 40 + lie));
}
