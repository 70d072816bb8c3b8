import { assertEquals } from "@std/assert";
import { BpfMap, TypedMap } from "../../../../datapath/bpf/mod.ts";
import { maps } from "../../../../datapath/maps/generated.ts";
import { formatIp, parseIp } from "../../../../datapath/net/ip.ts";
import { type BackendSet, backendSet, setBackends } from "./backend_set.ts";
import { MemberMap } from "./member_map.ts";
import { sameService, type ServiceRow } from "./service_row.ts";

function open(rows = 64) {
  const { name, type, key, value } = maps.pilus_backend_index;
  const raw = BpfMap.create({
    name: name.slice(0, 15),
    type,
    keySize: key.size,
    valueSize: value.size,
    maxEntries: rows,
  });
  const map = new TypedMap(raw, maps.pilus_backend_index);
  const shown = () =>
    [...map.entries()].map(([{ address, service, port }, index]) =>
      `${service} ${formatIp(address)}:${port} ${index}`
    ).sort();
  return { map, shown };
}

function set(...numbers: number[]): BackendSet {
  const backends = numbers.map((n) => ({
    address: parseIp(`10.60.1.${n}`),
    port: 8080,
    flags: 1,
    weight: 300,
  }));
  return backendSet(backends, backends.length);
}

function row(front: number, id: number, internal: BackendSet, external = set()): ServiceRow {
  return {
    key: { address: parseIp(`10.96.0.${front}`), port: 80, protocol: 6 },
    id,
    flags: 0,
    affinityS: 0,
    maglev: false,
    sides: [internal, external],
  };
}

Deno.test("setBackends() gives back what backendSet() has packed", () => {
  const backends = [
    { address: parseIp("fd60::80:ff"), port: 65535, flags: 3, weight: 0 },
    { address: parseIp("10.255.128.1"), port: 128, flags: 0, weight: 65535 },
  ];
  assertEquals(setBackends(backendSet(backends, 1)), backends);
});

Deno.test("members say where in each set a backend is, and follow the rows", () => {
  const { map, shown } = open();
  using _ = map;
  const members = new MemberMap(map);
  assertEquals(members.read(), []);
  members.apply(
    [row(1, 7, set(1, 2), set(2)), row(2, 7, set(1, 2), set(2)), row(3, 8, set(3))],
    [],
  );
  const all = ["7 10.60.1.1:8080 1,0", "7 10.60.1.2:8080 2,1", "8 10.60.1.3:8080 1,0"];
  assertEquals(shown(), all);
  members.apply([], [row(1, 7, set(1, 2), set(2))]);
  assertEquals(shown(), all, "another frontend of the number has them still");
  members.apply([row(2, 7, set(2, 4))], [row(3, 8, set(3))]);
  assertEquals(shown(), ["7 10.60.1.2:8080 1,0", "7 10.60.1.4:8080 2,0"]);
  members.apply([row(2, 9, set(2))], []);
  assertEquals(shown(), ["9 10.60.1.2:8080 1,0"], "a frontend may get another number");
});

Deno.test("members of an agent before are kept when they are right, and deleted when nobody has them", () => {
  const { map, shown } = open();
  using _ = map;
  const key = (service: number, n: number) => ({
    address: parseIp(`10.60.1.${n}`),
    service,
    port: 8080,
  });
  map.set(key(7, 1), [1, 0]);
  map.set(key(7, 9), [2, 0]);
  map.set(key(8, 1), [1, 0]);
  const members = new MemberMap(map);
  assertEquals(members.read(), []);
  const wanted = row(1, 7, set(1, 2));
  members.apply([wanted], []);
  assertEquals(shown().slice(0, 2), ["7 10.60.1.1:8080 1,0", "7 10.60.1.2:8080 2,0"]);
  assertEquals(members.read().map((found) => sameService(found, wanted)), [true]);
  assertEquals(shown().length, 2, "nobody has number 8");
  map.delete(key(7, 2));
  assertEquals(members.read().map((found) => sameService(found, wanted)), [false]);
  members.apply([wanted], []);
  assertEquals(shown().length, 2);
});

Deno.test("a full map fails the rows that have no room, and takes them when there is some", () => {
  const { map, shown } = open(2);
  using _ = map;
  const members = new MemberMap(map);
  members.read();
  const [one, two] = [row(1, 1, set(1, 2)), row(2, 2, set(3))];
  const { failed } = members.apply([one, two], []);
  assertEquals(failed.map(({ row: { id } }) => id), [2]);
  assertEquals(shown().length, 2);
  assertEquals(members.apply([two], [one]).failed, []);
  assertEquals(shown(), ["2 10.60.1.3:8080 1,0"]);
});

Deno.test("members that differ from what is wanted in anything are found, and put right", () => {
  const { map, shown } = open();
  using _ = map;
  const member = (n: number, port = 8080) => ({
    address: parseIp(`10.60.1.${n}`),
    service: 7,
    port,
  });
  const members = new MemberMap(map);
  members.read();
  const rights: [rows: ServiceRow[], shown: string[]][] = [
    [[row(1, 7, set(1, 2), set(2))], ["7 10.60.1.1:8080 1,0", "7 10.60.1.2:8080 2,1"]],
    // of several frontends with one number
    [[1, 2].map((n) => row(n, 7, set(1), set(2))), [
      "7 10.60.1.1:8080 1,0",
      "7 10.60.1.2:8080 0,1",
    ]],
  ];
  const changes: [name: string, change: () => void][] = [
    ["none", () => {}],
    ["an index", () => map.set(member(2), [1, 1])],
    ["an index behind the end", () => map.set(member(2), [3, 1])],
    ["not in one of the sets", () => map.set(member(1), [0, 0])],
    ["in the other set, too", () => map.set(member(1), [1, 2])],
    ["one is missing", () => map.delete(member(1))],
    ["one more", () => map.set(member(3), [3, 0])],
    ["another port", () => {
      map.delete(member(1));
      map.set(member(1, 8081), [1, 0]);
    }],
  ];
  for (const [rows, right] of rights) {
    for (const [name, change] of changes) {
      members.apply(rows, []);
      assertEquals(shown(), right, name);
      change();
      const found = members.read();
      const same = found.map((row) => sameService(row, rows.find((r) => r.key === row.key)!));
      assertEquals(same, rows.map(() => name === "none"), name);
    }
    members.apply([], rows);
    assertEquals(shown(), []);
  }
});
