/** The maps themselves: sizes, pressure, rows; and what this kernel can do. */

import { BpfMap, features, MapType, type TypedMap } from "../../../datapath/bpf/mod.ts";
import { formatIp } from "../../../datapath/net/ip.ts";
import { limitOf } from "../../api/parameters.ts";
import { ApiError } from "../../api/server.ts";
import type { FeatureView, MapView } from "../../api/views.ts";
import { TimeSlice } from "../../core/time_slice.ts";
import type { Kernel } from "../kernel.ts";
import { gauge } from "../metrics.ts";
import type { MapDisplay, Part } from "../part.ts";

/** Share of a map's rows from which on status names it. */
const PRESSURE = 0.5;

/** Maps whose pressure is a metric. */
const MEASURED: readonly string[] = [
  "pilus_ct",
  "pilus_nat",
  "pilus_rules",
  "pilus_ipcache",
  "pilus_services",
  "pilus_backends",
  "pilus_maglev",
  "pilus_prefilter",
];

const ARRAYS: readonly number[] = [MapType.ARRAY, MapType.PERCPU_ARRAY];

type AnyMap = TypedMap<unknown, unknown>;

interface MapEntry {
  key: unknown;
  value: unknown;
}

/** Wires all maps to the API. `parts` say how theirs are shown. */
export function mapsPart(
  { kernel: { maps }, parts }: { kernel: Kernel; parts: () => readonly Part[] },
): Part {
  /** The maps that have rows; the ring buffer has none, and those of arrays mean nothing. */
  const typed = Object.values(maps).filter((map) =>
    typeof map === "object" && !(map instanceof BpfMap)
  ) as unknown as AnyMap[];

  const displayOf = (name: string): MapDisplay =>
    parts().map(({ maps: displays }) => displays?.[name]).find((display) => display) ?? {};

  /** Undefined for arrays whose rows belong to no one table. */
  const rowsInUse = (map: AnyMap, slice: TimeSlice) =>
    displayOf(map.name).rowsInUse?.() ??
      (ARRAYS.includes(map.raw.type) ? undefined : countRows(map, slice));

  const view = async (map: AnyMap, slice: TimeSlice): Promise<MapView> => {
    const { type, keySize, valueSize, maxEntries } = map.raw;
    const name = Object.entries(MapType).find(([, value]) => value === type)?.[0] ?? String(type);
    const entries = await rowsInUse(map, slice);
    return {
      name: map.name,
      type: name.toLowerCase(),
      keySize,
      valueSize,
      maxEntries,
      ...(entries === undefined ? {} : { entries, pressure: entries / maxEntries }),
    };
  };

  const views = async (): Promise<MapView[]> => {
    const all: MapView[] = [];
    const slice = new TimeSlice();
    for (const map of typed) all.push(await view(map, slice));
    return all;
  };

  const find = (name: string): AnyMap => {
    const map = typed.find((m) => m.name === name || m.name === `pilus_${name}`);
    if (map) return map;
    throw notFound(`There is no map ${name}; there are ${typed.map((m) => m.name).join(", ")}`);
  };

  const dump = (name: string, limit: number): MapEntry[] => {
    const map = find(name);
    const { dump, row = (key, value) => ({ key, value }) } = displayOf(map.name);
    if (dump) return dump(limit);
    const rows: MapEntry[] = [];
    for (const [key, value] of map.entries()) {
      const shown = row(key, value);
      if (!shown) continue;
      rows.push({ key: plain(shown.key), value: plain(shown.value) });
      if (rows.length >= limit) break;
    }
    return rows;
  };

  const entry = (name: string, keyText: string): MapEntry => {
    let wanted: string;
    try {
      wanted = JSON.stringify(JSON.parse(keyText));
    } catch {
      wanted = JSON.stringify(keyText);
    }
    const row = dump(name, Infinity).find(({ key }) => JSON.stringify(key) === wanted);
    if (!row) throw notFound(`Map ${name} has no key ${keyText}; see \`pilus map dump ${name}\``);
    return row;
  };

  return {
    name: "maps",
    routes: {
      "GET /v1/maps": views,
      "GET /v1/maps/{name}": ({ params, query }) => dump(params.name!, limitOf(query)),
      "GET /v1/maps/{name}/{key}": ({ params }) => entry(params.name!, params.key!),
    },
    async metrics() {
      const measured = typed.filter(({ name }) => MEASURED.includes(name));
      const slice = new TimeSlice();
      const rows = await Promise.all(measured.map((map) => view(map, slice)));
      return rows.flatMap(({ name, pressure = 0, maxEntries }) => [
        gauge("bpf_map_pressure", "Share of rows in use", pressure, { map_name: name }),
        gauge("bpf_map_capacity", "Rows there is room for", maxEntries, { map_name: name }),
      ]);
    },
    status: async () => ({
      pressure: (await views()).filter(({ pressure = 0 }) => pressure > PRESSURE),
      features: featureViews(),
    }),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** By iterating; other work has its turn when the slice is over. */
async function countRows({ raw }: AnyMap, slice: TimeSlice): Promise<number> {
  let total = 0;
  for (const { count } of raw.batches()) {
    total += count;
    if (slice.over) await slice.next();
  }
  return total;
}

function notFound(message: string): ApiError {
  return new ApiError(404, { code: "not-found", message });
}

/** Values as JSON: addresses and MACs as text, 64-bit numbers as numbers, other bytes in hexadecimal. */
function plain(value: unknown): unknown {
  if (typeof value === "bigint") return Number(value);
  if (value instanceof Uint8Array) {
    if (value.length === 16) return formatIp(value);
    return [...value].map((b) => b.toString(16).padStart(2, "0")).join(
      value.length === 6 ? ":" : "",
    );
  }
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, plain(v)]));
  }
  return value;
}

function featureViews(): FeatureView[] {
  const found = features();
  const row = (name: string, has: boolean, yes: string, no: string, cost: string) => ({
    name,
    found: has ? yes : no,
    cost: has ? "" : cost,
  });
  return [
    row(
      "attach",
      found.tcx,
      "tcx",
      "clsact",
      "a program is swapped with its filter, not as a link",
    ),
    row("map batches", found.batch, "yes", "no", "one call a row when tables are filled"),
    row(
      "refusal at connect()",
      found.setRetval,
      "ECONNREFUSED",
      "EPERM",
      "a service without backend fails with another errno",
    ),
  ];
}
