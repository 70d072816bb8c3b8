import { assert, assertEquals } from "@std/assert";
import type { TypedMap } from "./bpf/mod.ts";
import { temporaryBpffs } from "./bpf/testdata/lab.ts";
import { monotonicNs } from "./bpf/ffi/libc.ts";
import { Loader } from "./loader.ts";
import { natEntry, NatFlags } from "./maps/generated.ts";
import { openMaps } from "./maps/mod.ts";

const MINUTE_NS = 60_000_000_000n, HOUR_NS = 60n * MINUTE_NS;

/** As many rows as there is room for; `write` fills the value of the n-th. */
function fill<K, V>(map: TypedMap<K, V>, write: (view: DataView, n: number) => void): void {
  const { keySize, valueSize, maxEntries } = map.raw;
  const keys = new Uint8Array(maxEntries * keySize);
  const values = new Uint8Array(maxEntries * valueSize);
  const view = new DataView(keys.buffer);
  for (let n = 0; n < maxEntries; n++) {
    view.setUint32(n * keySize + 12, n);
    view.setUint8(n * keySize + 36, n % 3 === 0 ? 6 : 17); // the protocol, in both maps
    write(new DataView(values.buffer, n * valueSize, valueSize), n);
  }
  map.raw.setBatch(keys, values, maxEntries);
}

/** Where a field of a map's value is: what changes when it does. */
function offsetOf(write: (view: DataView) => void, size: number): number {
  const bytes = new Uint8Array(size);
  write(new DataView(bytes.buffer));
  return bytes.findIndex((byte) => byte !== 0);
}

Deno.test("collectGarbage() deletes what has run out, and does not stop the agent", async () => {
  using bpffs = temporaryBpffs();
  const path = `${bpffs.path}/pilus`;
  using loader = await Loader.load({
    bpffs: path,
    routing: "vxlan",
    masquerade: true,
    tunnelIfindex: 1,
    tunnelPort: 8472,
  });
  using maps = openMaps(loader.mapDirectory);
  const { pilus_ct: ct, pilus_nat: nat } = maps;
  const size = nat.raw.valueSize;
  const blank = natEntry.decode(new DataView(new ArrayBuffer(size)), 0);
  const used = offsetOf((view) => natEntry.encode(view, 0, { ...blank, used: 1n }), size);
  const flags = offsetOf((view) => natEntry.encode(view, 0, { ...blank, flags: 1 }), size);
  const now = monotonicNs();
  fill(ct, (view, n) => view.setBigUint64(0, n % 2 ? now + HOUR_NS : now - 1n, true));
  // idle for two minutes: too long for UDP, not for TCP; the clock began when the machine did
  const idle = now > 2n * MINUTE_NS ? now - 2n * MINUTE_NS : 0n;
  fill(nat, (view, n) => {
    view.setBigUint64(used, n % 2 ? now : idle, true);
    view.setUint8(flags, NatFlags.REPLIED);
  });
  const before = { ct: ct.count(), nat: nat.count() };

  let longest = 0, turns = 0, last = performance.now();
  const ticks = setInterval(() => {
    const tick = performance.now();
    longest = Math.max(longest, tick - last);
    last = tick;
    turns++;
  }, 1);
  const begin = performance.now();
  const { connections, mappings } = await loader.collectGarbage();
  const ms = performance.now() - begin;
  clearInterval(ticks);
  console.log(
    `${before.ct + before.nat} rows in ${ms.toFixed(0)} ms, longest stall ${longest.toFixed(1)} ms`,
  );
  // the loop went round meanwhile: a collection on its own thread would leave no turn
  assert(turns > 0, "the agent stood still");

  assertEquals(ct.count(), before.ct - connections);
  assertEquals(nat.count(), before.nat - mappings);
  // a full LRU map may have thrown out some itself
  assert(Math.abs(connections - ct.maxEntries / 2) < 5000, `${connections} connections`);
  assert(Math.abs(mappings - nat.maxEntries / 3) < 5000, `${mappings} mappings`);
  const left = [...nat.entries()].filter(([{ protocol }, value]) =>
    protocol === 17 && now - value.used > MINUTE_NS
  );
  assertEquals(left, []);
  Loader.removeAll(path);
});
