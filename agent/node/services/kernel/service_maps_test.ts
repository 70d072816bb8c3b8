import { assert, assertEquals } from "@std/assert";
import { BpfMap, TypedMap } from "../../../../datapath/bpf/mod.ts";
import { maps } from "../../../../datapath/maps/generated.ts";
import { parseIp } from "../../../../datapath/net/ip.ts";
import { readSlot } from "./maglev.ts";
import { backendSet } from "./backend_set.ts";
import { ServiceMaps } from "./service_maps.ts";
import type { ServiceRow } from "./service_row.ts";

const SIZE = 251;

function open(backendRows = 64, maglevRows = 8) {
  const create = (
    d: { name: string; type: number; key: { size: number }; value: { size: number } },
    maxEntries: number,
    flags = 0,
  ) =>
    BpfMap.create({
      name: d.name.slice(0, 15),
      type: d.type,
      keySize: d.key.size,
      valueSize: d.value.size,
      maxEntries,
      flags,
    });
  return {
    services: new TypedMap(create(maps.pilus_services, 64), maps.pilus_services),
    backends: new TypedMap(create(maps.pilus_backends, backendRows), maps.pilus_backends),
    maglev: new TypedMap(
      create(maps.pilus_maglev, maglevRows),
      maps.pilus_maglev as never,
    ) as never as { raw: BpfMap },
    maglevSize: SIZE,
  };
}

function row(last: number, numbers: number[], count = numbers.length, maglev = true): ServiceRow {
  const set = backendSet(
    numbers.map((n) => ({ address: parseIp(`10.60.1.${n}`), port: 8080, flags: 0, weight: 1 })),
    count,
  );
  return {
    key: { address: parseIp(`10.96.0.${last}`), port: 80, protocol: 6 },
    id: last,
    flags: 0,
    affinityS: 0,
    maglev,
    sides: [set, set],
  };
}

Deno.test("ServiceMaps shares sets and tables, keeps hits and the slots' past, and adopts what it left", () => {
  const options = open();
  using first = new ServiceMaps(options);
  first.read();
  assertEquals(first.apply([row(1, [1, 2, 3]), row(2, [1, 2, 3])], []).failed, []);
  const [a, b] = [1, 2].map((n) => options.services.get(row(n, []).key)!);
  assertEquals([a!.side[0], a!.side[1]], [b!.side[0], b!.side[1]]);
  assertEquals(first.usage().backends, 3);
  const set = a!.side[0].set;
  options.backends.set(set + 2, { ...options.backends.get(set + 2)!, hits: 7n });

  // 2 drains: it stands behind
  const next = row(1, [1, 3, 2], 2);
  first.apply([next], []);
  const changed = options.services.get(next.key)!.side[0];
  assert(changed.set !== set && changed.count === 2);
  assertEquals(first.hits(next, 0), [0n, 7n, 0n]);
  const slots = () => {
    const value = options.maglev.raw.get(
      new Uint8Array(new Uint32Array([changed.table]).buffer),
      new Uint8Array(2048),
    )!;
    return [...new Uint32Array(value.slice().buffer)].slice(0, SIZE).map(readSlot);
  };
  const drained = slots().filter(({ before }) => before === 2);
  assert(drained.length > 70 && drained.every(({ now, ask, young }) => now < 2 && ask && young));

  using second = new ServiceMaps(options);
  const found = second.read();
  assertEquals(found.length, 2);
  second.apply([next, row(2, [1, 2, 3])], []);
  const taken = options.services.get(next.key)!.side[0];
  assertEquals(options.backends.get(taken.set + 2)!.address, parseIp("10.60.1.2"));
});

Deno.test("ServiceMaps repairs rows, sets and slots that were changed by hand", () => {
  const options = open();
  using target = new ServiceMaps(options);
  target.read();
  target.apply([row(1, [1, 2])], []);
  const { set } = options.services.get(row(1, []).key)!.side[0];
  const good = options.backends.get(set)!;
  options.backends.set(set, { ...good, port: 1 });
  assertEquals(target.read()[0]!.sides[0].content, "?");
  assertEquals(options.backends.get(set)!.port, 8080);
  assertEquals(target.read()[0]!.sides[0].content, row(1, [1, 2]).sides[0].content);
});

Deno.test("ServiceMaps: without room for a table the choice is random, without room for backends the row fails", () => {
  let short = 0;
  const options = { ...open(8, 2), onShortage: (n: number) => void (short = n) };
  using target = new ServiceMaps(options);
  target.read();
  assertEquals(target.apply([row(1, [1, 2]), row(2, [3, 4])], []).failed, []);
  assertEquals([short, options.services.get(row(2, []).key)!.side[0].table], [1, 0]);
  const { failed } = target.apply([row(3, [5, 6, 7, 8])], []);
  assertEquals(failed.length, 1);
  assert(failed[0]!.error.message.includes("--map-size pilus_backends=16"));
});
