/** ICMP of every type, errors with true and forged quotes, and neighbour discovery. */

import { PROTOCOL } from "../../datapath/testdata/packets.ts";
import { type Draft, type Family, SOURCE_PORTS } from "./draft.ts";
import { type Ends, fold, type Packet } from "./frame.ts";
import { putChecksum } from "./headers.ts";

export function putIcmp(d: Draft, packet: Packet, ends: Ends): void {
  const w = d.w, at = w.length, { family } = packet;
  const errors = family === 4 ? [3, 3, 4, 11, 12] : [1, 2, 3, 4];
  const discovery = family === 6 && d.chance(15);
  const type = discovery
    ? 133 + d.random(5)
    : d.chance(50)
    ? d.pick(errors)
    : d.chance(40)
    ? d.pick(family === 4 ? [0, 8] : [128, 129])
    : d.random(256);
  packet.icmp = { type };
  if (discovery && d.chance(80)) packet.ttl = 255;
  w.u8(type);
  w.u8(d.chance(60) ? d.random(5) : d.random(256));
  w.u16(0);
  if (errors.includes(type)) {
    w.u16(d.random(2) * d.random(64));
    w.u16(d.pick([0, 68, 1280, 1450, 1500, 65535]));
    if (d.chance(97)) packet.icmp.quote = putQuote(d, family, ends);
  } else if (discovery) {
    w.u32(d.random(2) ? 0xe0000000 : 0);
    const about = type === 136 ? d.claim(6) : d.address(6);
    w.put(about.bytes);
    if (d.chance(50)) w.put(Uint8Array.of(type === 136 ? 2 : 1, 1, ...d.sender.mac));
  } else {
    w.u16(d.random(4));
    w.u16(d.random(65536));
  }
  d.payload();
  putChecksum(d, at, at + 2, packet, ends);
}

/** A quoted packet: of a flow that the destination may have, in either direction, or anything. */
function putQuote(d: Draft, family: Family, { source, destination }: Ends): Packet {
  const { udp, tcp, icmp, icmpv6 } = PROTOCOL;
  const low = d.pick(SOURCE_PORTS);
  const known = d.flowsOf(destination);
  if (known.length && d.chance(60)) {
    const { from, to, protocol, port } = d.pick(known);
    return from.text === destination.text
      ? putQuoted(d, family, { source: from, destination: to }, protocol, [low, port])
      : putQuoted(d, family, { source: to, destination: from }, protocol, [port, low]);
  }
  const from = d.chance(70) ? destination : d.address(family);
  const to = d.chance(70) ? source : d.address(family);
  const protocol = d.pick([udp, tcp, family === 4 ? icmp : icmpv6, 132]);
  const port = d.pick(d.world.ports);
  const ports: [number, number] = d.chance(70) ? [port, low] : [low, port];
  return putQuoted(d, family, { source: from, destination: to }, protocol, ports);
}

function putQuoted(
  d: Draft,
  family: Family,
  { source, destination }: Ends,
  protocol: number,
  ports: [number, number],
): Packet {
  const w = d.w, start = w.length;
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
