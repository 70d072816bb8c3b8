/** Packets that may be fragmented and are too long for the way to a backend. What becomes of all their parts: tests/size_test.ts. */

import { assertEquals } from "@std/assert";
import { balancerNode, type Mode, PORTS, VIP } from "./testdata/balancer.ts";
import { DEVICE_IFINDEX, DEVICE_MAC, type TestNode, VERDICT, WORLD } from "./testdata/node.ts";
import { ETHERNET_HEADER, frame, ipPacket, PROTOCOL } from "./testdata/packets.ts";

const HEADER = 20, MTU = 1500;
/** Bytes before the datagram's own, by mode. */
const WRAPPED: Record<Mode, number> = { snat: 0, option: 0, ipip: HEADER };
/** Behind its IP header. */
const OPTION: Record<Mode, number> = { snat: 0, option: 8, ipip: 0 };

/** A datagram, or a part of one, of `length` bytes with its IP header. */
function made(length: number, more: Partial<Parameters<typeof ipPacket>[0]> = {}) {
  const envelope = {
    source: WORLD.ipv4,
    destination: VIP.ipv4,
    destinationMac: DEVICE_MAC,
    ...more,
  };
  const body = new Uint8Array(length - HEADER).map((_, i) => i * 7);
  const offset = more.fragment?.offset ?? 0;
  if (offset === 0) {
    const view = new DataView(body.buffer);
    view.setUint16(0, 5000);
    view.setUint16(2, PORTS.elsewhere);
    view.setUint16(4, body.length);
  }
  return frame(envelope, ipPacket(envelope, PROTOCOL.udp, body));
}

/** Gives the sum of the pseudo header alone, as a sender does that leaves the rest to its card. */
function unfinished(frame: Uint8Array<ArrayBuffer>) {
  const view = new DataView(frame.buffer, ETHERNET_HEADER);
  let sum = PROTOCOL.udp + view.getUint16(2) - HEADER;
  for (let at = 12; at < HEADER; at += 2) sum += view.getUint16(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  view.setUint16(HEADER + 6, sum);
  return frame;
}

/** What `from_netdev` makes of it. */
function first(node: TestNode, packet: Uint8Array) {
  const { verdict, frame } = node.run("from_netdev", packet, { ifindex: DEVICE_IFINDEX });
  assertEquals(verdict, VERDICT.redirect);
  return new DataView(frame.slice(ETHERNET_HEADER).buffer);
}

const place = (view: DataView, at: number) => {
  const field = view.getUint16(at + 6);
  return { more: (field & 0x2000) !== 0, offset: (field & 0x1fff) * 8 };
};

for (const mode of ["snat", "option", "ipip"] as const) {
  // bytes that the way takes; what is longer than that
  const fits = MTU - WRAPPED[mode] - OPTION[mode];

  Deno.test(`${mode}: of what is too long a first part goes on, in its place`, () => {
    using node = balancerNode(mode);
    const cases = [
      { name: "whole", length: fits + 1, offset: 0 },
      { name: "whole, long", length: 3000, offset: 0 },
      { name: "first", length: fits + 4, offset: 0, more: true },
      { name: "between", length: fits + 4, offset: 1480, more: true },
      { name: "last", length: fits + 7, offset: 1480, more: false },
    ];
    for (const { name, length, offset, more } of cases) {
      // what the parts before it have left
      if (offset > 0) first(node, made(1000, { fragment: { id: 7, offset: 0, more: true } }));
      const sent = made(length, more === undefined ? {} : { fragment: { id: 7, offset, more } });
      const view = first(node, sent);
      const at = WRAPPED[mode], body = at + HEADER + OPTION[mode];
      assertEquals(place(view, at), { more: true, offset }, name);
      assertEquals(view.getUint16(0 + 2), view.byteLength, name);
      const rest = view.byteLength - body;
      assertEquals([rest % 8, rest > 0 && view.byteLength <= MTU], [0, true], name);
      // behind the ports and the checksum it is what was sent
      const payload = new Uint8Array(view.buffer).slice(body + 8);
      assertEquals(
        payload,
        sent.slice(ETHERNET_HEADER + HEADER + 8, ETHERNET_HEADER + HEADER + rest),
      );
    }
  });

  Deno.test(`${mode}: what must not be fragmented, or cannot, is answered`, () => {
    using node = balancerNode(mode);
    const cases: [name: string, sent: Uint8Array][] = [
      ["DF", made(fits + 1, { dontFragment: true })],
      [
        "a first part with DF",
        made(fits + 4, {
          dontFragment: true,
          fragment: { id: 7, offset: 0, more: true },
        }),
      ],
      ["an unfinished checksum", unfinished(made(fits + 1))],
    ];
    for (const [name, sent] of cases) {
      const view = first(node, sent);
      assertEquals([view.getUint8(9), view.getUint8(HEADER)], [PROTOCOL.icmp, 3], name);
      assertEquals(view.getUint16(HEADER + 6), fits, name);
    }
  });
}

Deno.test("what fits goes whole", () => {
  using node = balancerNode("ipip");
  const view = first(node, made(MTU - HEADER));
  assertEquals([view.byteLength, place(view, HEADER)], [MTU, { more: false, offset: 0 }]);
});
