/** Each kind of map: that it can be made, and what it is for. */

import { assert, assertEquals } from "@std/assert";
import { MapFlag, MapType } from "../constants.ts";
import type { MapOptions } from "../create_map.ts";
import { BpfMap } from "../map.ts";
import { BpfObject } from "../object.ts";
import { compileBpf } from "../../../scripts/compile_bpf.ts";
import { RingBuffer } from "../ringbuf.ts";

const number = (value: number) => new Uint8Array(new Uint32Array([value]).buffer);
const nothing = new Uint8Array(0);

interface Kind extends Partial<MapOptions> {
  /** What is tried of it; that it is made: always. */
  use?: (map: BpfMap) => void;
  /** A map of maps. */
  ofMaps?: boolean;
  /** Its key in C, of those that have to have BTF: they are made by an object. */
  key?: string;
}

function keepsValues(map: BpfMap): void {
  const key = new Uint8Array(map.keySize), value = new Uint8Array(map.storedValueSize);
  key[0] = map.keySize > 4 ? 32 : 1; // of an LPM trie the length of the prefix
  value[0] = 7;
  map.set(key, value);
  assertEquals(map.get(key), value);
  assertEquals([...map.entries()].filter(([, found]) => found[0] === 7).length, 1);
}

function gives(map: BpfMap): void {
  map.set(nothing, number(3));
  assertEquals(map.take(nothing), number(3));
}

const ring: Kind = { keySize: 0, valueSize: 0, maxEntries: 65_536 };

const storage: Kind = { key: "int", maxEntries: 0, flags: MapFlag.NO_PREALLOC };

/** By the name of `MapType`. */
const kinds: Readonly<Partial<Record<keyof typeof MapType, Kind>>> = {
  HASH: { use: keepsValues },
  ARRAY: { use: keepsValues },
  PROG_ARRAY: {},
  PERF_EVENT_ARRAY: {},
  PERCPU_HASH: { use: keepsValues },
  PERCPU_ARRAY: { use: keepsValues },
  STACK_TRACE: { valueSize: 8 * 16 },
  CGROUP_ARRAY: {},
  LRU_HASH: { use: keepsValues },
  LRU_PERCPU_HASH: { use: keepsValues },
  LPM_TRIE: { keySize: 8, flags: MapFlag.NO_PREALLOC, use: keepsValues },
  ARRAY_OF_MAPS: { ofMaps: true },
  HASH_OF_MAPS: { ofMaps: true },
  DEVMAP: {},
  SOCKMAP: {},
  CPUMAP: {},
  XSKMAP: {},
  SOCKHASH: {},
  CGROUP_STORAGE: { key: "struct bpf_cgroup_storage_key", maxEntries: 0 },
  REUSEPORT_SOCKARRAY: {},
  PERCPU_CGROUP_STORAGE: { key: "struct bpf_cgroup_storage_key", maxEntries: 0 },
  QUEUE: { keySize: 0, use: gives },
  STACK: { keySize: 0, use: gives },
  SK_STORAGE: storage,
  DEVMAP_HASH: {},
  RINGBUF: { ...ring, use: (map) => new RingBuffer(map)[Symbol.dispose]() },
  INODE_STORAGE: storage,
  TASK_STORAGE: storage,
  BLOOM_FILTER: {
    keySize: 0,
    use: (map) => {
      map.set(nothing, number(3));
      assert(map.get(nothing, number(3)));
    },
  },
  USER_RINGBUF: ring,
  CGRP_STORAGE: storage,
  ARENA: { keySize: 0, valueSize: 0, maxEntries: 16, flags: MapFlag.MMAPABLE },
};

export const mapKinds = Object.keys(kinds) as (keyof typeof MapType)[];

/** By an object with this map alone. */
function objectWith(kind: string, { key, flags = 0 }: Kind): BpfObject {
  return BpfObject.open(compileBpf(`
    #include <linux/bpf.h>
    #include <bpf/bpf_helpers.h>
    struct {
      __uint(type, ${MapType[kind as keyof typeof MapType]});
      __uint(map_flags, ${flags});
      __type(key, ${key});
      __type(value, __u64);
    } kind SEC(".maps");
  `));
}

/** Makes a map of that kind and uses it. */
export function tryMapKind(kind: keyof typeof MapType): void {
  const { use, ofMaps, key, ...more } = kinds[kind]!;
  const type = MapType[kind];
  if (key) {
    using object = objectWith(kind, kinds[kind]!).load();
    using map = object.map("kind");
    assertEquals(map.type, type);
    return;
  }
  const options = { keySize: 4, valueSize: 4, maxEntries: 4, ...more };
  const inner = { name: "inner", type: MapType.HASH, keySize: 4, valueSize: 4, maxEntries: 4 };
  using held = BpfMap.create(inner);
  using map = BpfMap.create({ ...options, name: "kind", type, ...ofMaps ? { inner: held } : {} });
  assertEquals(map.type, type);
  if (ofMaps) map.setObject(number(1), held);
  use?.(map);
}
