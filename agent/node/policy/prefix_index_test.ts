import { assert, assertEquals } from "@std/assert";
import { type Cidr, cidrContainsCidr, parseCidr } from "../../../datapath/net/ip.ts";
import { PrefixIndex } from "./prefix_index.ts";

Deno.test("PrefixIndex finds at random what trying each finds, and is empty in the end", () => {
  let seed = 7;
  const random = (below: number) => (seed = seed * 48271 % 0x7fffffff) % below;
  const prefix = (): Cidr =>
    random(4) === 0
      ? parseCidr(`fd00:${random(3)}::${random(3)}/${random(129)}`)
      : parseCidr(`10.${random(3)}.${random(3)}.${random(256)}/${random(33)}`);
  const index = new PrefixIndex<number>();
  const all = new Map<number, Cidr>();
  for (let round = 0; round < 3_000; round++) {
    const id = random(60), before = all.get(id);
    if (before) {
      index.delete(before, id);
      all.delete(id);
    } else {
      all.set(id, prefix());
      index.add(all.get(id)!, id);
    }
    const asked = prefix();
    const [around, within] = [new Set(index.around(asked)), new Set(index.within(asked))];
    for (const [id, cidr] of all) {
      if (cidrContainsCidr(cidr, asked)) assert(around.has(id));
      if (cidrContainsCidr(asked, cidr)) assert(within.has(id));
    }
    // the others are of the same bytes
    for (const id of [...around, ...within]) assert(all.has(id));
  }
  for (const [id, cidr] of all) index.delete(cidr, id);
  assertEquals([...index.within(parseCidr("::/0"))], []);
});

Deno.test("PrefixIndex does not look at prefixes elsewhere", () => {
  const index = new PrefixIndex<number>();
  for (let i = 0; i < 10_000; i++) index.add(parseCidr(`10.${i >> 8}.${i & 255}.0/24`), i);
  assertEquals([...index.around(parseCidr("10.3.7.9/32"))], [3 * 256 + 7]);
  assertEquals([...index.within(parseCidr("10.3.7.0/24"))], [3 * 256 + 7]);
  assertEquals([...index.within(parseCidr("10.3.0.0/16"))].length, 256);
});
