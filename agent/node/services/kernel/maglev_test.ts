import { assert, assertEquals } from "@std/assert";
import { parseIp } from "../../../../datapath/net/ip.ts";
import { maglevHash, slotOf } from "./flow_hash.ts";
import { fillMaglev, type MaglevBackend, MaglevTable, readSlot } from "./maglev.ts";

const SIZE = 16381;

function backends(numbers: readonly number[], weight = 1): MaglevBackend[] {
  return numbers.map((n) => ({
    address: parseIp(`10.60.${n >> 8}.${n & 255}`),
    port: 8080,
    weight,
  }));
}

function shares(owners: Uint16Array, count: number): number[] {
  const result = new Array<number>(count).fill(0);
  for (const owner of owners) result[owner]!++;
  return result;
}

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

Deno.test("fillMaglev() spreads slots evenly, and by weight", () => {
  for (const count of [2, 10, 100]) {
    const even = SIZE / count;
    for (const share of shares(fillMaglev(backends(range(1, count + 1)), SIZE), count)) {
      assert(Math.abs(share - even) <= Math.max(1, even * 0.02), `${share} slots, even is ${even}`);
    }
  }
  const weighted = backends([1, 2, 3]);
  weighted[0]!.weight = 3;
  weighted[2]!.weight = 0;
  const [heavy, light, none] = shares(fillMaglev(weighted, SIZE), 3);
  assert(Math.abs(heavy! / light! - 3) < 0.02, `${heavy} to ${light}`);
  assertEquals(none, 0);
});

Deno.test("fillMaglev() moves hardly more slots than must be moved", () => {
  let worst = 0, sum = 0;
  for (let round = 0; round < 20; round++) {
    const all = range(round * 20 + 1, round * 20 + 11);
    const before = fillMaglev(backends(all), SIZE);
    for (const gone of range(0, 10)) {
      const rest = all.filter((_, i) => i !== gone);
      const after = fillMaglev(backends(rest), SIZE);
      let moved = 0;
      for (let slot = 0; slot < SIZE; slot++) {
        if (before[slot] !== gone && all[before[slot]!] !== rest[after[slot]!]) moved++;
      }
      worst = Math.max(worst, moved / SIZE);
      sum += moved / SIZE;
    }
  }
  const percent = (share: number) => `${(share * 100).toFixed(2)} %`;
  console.log(`beyond the share: mean ${percent(sum / 200)}, worst of 200 ${percent(worst)}`);
  assert(
    sum / 200 <= 0.01 && worst <= 0.0125,
    `mean ${percent(sum / 200)}, worst ${percent(worst)}`,
  );
});

Deno.test("maglevHash() and slotOf() are what the programs compute", () => {
  const v4 = maglevHash({
    source: parseIp("192.0.2.1"),
    destination: parseIp("10.96.0.80"),
    sourcePort: 40000,
    destinationPort: 80,
    protocol: 6,
  });
  const v6 = maglevHash({
    source: parseIp("2001:db8::1"),
    destination: parseIp("fd60:96::80"),
    sourcePort: 40000,
    destinationPort: 80,
    protocol: 17,
  });
  assertEquals([v4, v6], [0xd0d96210, 0x7df8fbea]);
  assertEquals(slotOf(0, SIZE), 0);
  assertEquals(slotOf(0xffff_ffff, SIZE), SIZE - 1);
  assertEquals(slotOf(v4, SIZE), Number(BigInt(v4) * BigInt(SIZE) >> 32n));
});

// What a slot must say, kept by backend numbers instead of indices.
interface Model {
  now: number;
  before: number;
  changed: number;
  ask: boolean;
}

Deno.test("MaglevTable: after any changes each slot says who has it and who had it before", () => {
  let seed = 7;
  const random = (n: number) => (seed = (Math.imul(seed, 1103515245) + 12345) >>> 0) % n;
  const size = 251;
  for (let run = 0; run < 50; run++) {
    let now = 1000;
    let set = range(1, 6), count = 5;
    let table = MaglevTable.create(backends(set), size);
    const model: Model[] = Array.from(fillMaglev(backends(set), size), (owner) => ({
      now: set[owner]!,
      before: set[owner]!,
      changed: 0,
      ask: false,
    }));
    for (let step = 0; step < 40; step++) {
      now += [1, 30, 61, 9000][random(4)]!;
      const aged = now;
      table.age(aged);
      for (const slot of model) {
        if (slot.ask && aged - slot.changed >= 8000) {
          Object.assign(slot, { ask: false, before: slot.now });
        }
      }
      // a few alive, the first of them for new connections
      const alive = range(1, 10).filter(() => random(3) > 0);
      if (alive.length === 0) continue;
      const takes = 1 + random(alive.length);
      const moved = Int32Array.from(set, (n) => alive.indexOf(n));
      table = table.change(backends(alive.slice(0, takes)), moved, now);
      const owners = fillMaglev(backends(alive.slice(0, takes)), size);
      model.forEach((slot, i) => {
        const owner = alive[owners[i]!]!;
        const lives = (n: number) => alive.includes(n);
        if (owner !== slot.now) {
          if (!lives(slot.before)) slot.before = lives(slot.now) ? slot.now : owner;
          Object.assign(slot, { now: owner, changed: now, ask: true });
        } else if (!lives(slot.before)) slot.before = owner;
      });
      set = alive;
      count = takes;
      for (let i = 0; i < size; i++) {
        const slot = readSlot(table.slots[i]!);
        const wanted = model[i]!;
        assert(slot.now < count);
        assertEquals([set[slot.now], set[slot.before], slot.ask], [
          wanted.now,
          wanted.before,
          wanted.ask,
        ]);
        if (slot.young) assert(slot.ask && slot.now !== slot.before && now - wanted.changed < 61);
        else assert(!(wanted.changed === now && wanted.before !== wanted.now), "young is lost");
      }
    }
  }
});
