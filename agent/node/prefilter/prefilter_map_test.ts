import { assertEquals } from "@std/assert";
import { BpfObject, TypedMap } from "../../../datapath/bpf/mod.ts";
import { maps } from "../../../datapath/maps/generated.ts";
import { formatCidr, parseCidr } from "../../../datapath/net/ip.ts";
import { readObject } from "../../../datapath/objects.ts";
import { deniedTable } from "./prefilter_file.ts";
import { Reconciler } from "../../core/reconciler.ts";
import { PREFILTER_BATCH, prefilterTarget } from "./prefilter_map.ts";

const row = (text: string) => ({ cidr: parseCidr(text), line: 1 });

function withMap(rows: number) {
  const object = BpfObject.open(readObject("xdp"));
  for (const name of object.mapNames) {
    if (object.mapLayout(name).maxEntries > 4096) object.setMaxEntries(name, 4096);
  }
  object.setMaxEntries("pilus_prefilter", rows);
  object.load();
  const map = new TypedMap(object.map("pilus_prefilter"), maps.pilus_prefilter);
  const texts = () =>
    [...map.keys()].map(({ prefixLength, address }) =>
      formatCidr({ prefixLength, address: address.slice() })
    ).sort();
  return {
    map,
    texts,
    [Symbol.dispose]() {
      map[Symbol.dispose]();
      object[Symbol.dispose]();
    },
  };
}

Deno.test("the prefilter's map follows its table, thousands of prefixes at once", async () => {
  using given = withMap(65536);
  const desired = deniedTable();
  const target = prefilterTarget(given.map);
  given.map.set(parseCidr("192.0.2.0/24"), 1); // of an earlier agent
  const many = Array.from({ length: 20_000 }, (_, i) => row(`10.${i >> 8}.${i & 255}.0/24`));
  desired.replace([...many, row("2001:db8::/32")]);
  await using reconciler = new Reconciler({
    name: "prefilter",
    desired,
    target,
    matches: () => true,
    batchSize: PREFILTER_BATCH,
  });
  await reconciler.start();
  assertEquals(given.map.count(), 20_001);
  desired.replace([row("10.0.0.0/8"), row("203.0.113.0/24")]);
  await reconciler.flush();
  assertEquals(given.texts(), ["10.0.0.0/8", "203.0.113.0/24"]);
  given.map.clear();
  assertEquals(await reconciler.repair(), 2);
  assertEquals(given.map.count(), 2);
});

Deno.test("prefilterTarget() makes room where there is none, and says which prefixes found none", () => {
  using given = withMap(2);
  const { apply } = prefilterTarget(given.map);
  apply([row("10.0.0.0/8"), row("11.0.0.0/8")], []);
  const swapped = apply([row("12.0.0.0/8"), row("13.0.0.0/8")], [
    row("10.0.0.0/8"),
    row("11.0.0.0/8"),
  ]) as { failed: unknown[] };
  assertEquals([swapped.failed, given.texts()], [[], ["12.0.0.0/8", "13.0.0.0/8"]]);
  const { failed: [failure] } = apply([row("14.0.0.0/8")], []) as {
    failed: { error: Error }[];
  };
  assertEquals(
    failure!.error.message,
    "Map pilus_prefilter is full: it has room for 2 rows; " +
      "end the agent, remove the map's pin and start it with --map-size pilus_prefilter=4",
  );
});
