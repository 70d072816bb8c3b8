/** The rows of pilus_nat: flows whose addresses are translated on the way. */

import { monotonicNs } from "../../datapath/ffi/libc.ts";
import { NatDirection, type NatEntry, type NatKey } from "../../datapath/maps/generated.ts";
import type { TypedMap } from "../../datapath/bpf/mod.ts";
import { formatIp } from "../../datapath/net/ip.ts";
import type { MappingView } from "../api/views.ts";
import { endText } from "./connections.ts";
import { protocolName } from "./names.ts";

/** One row. `now`: CLOCK_MONOTONIC in ns. */
export function mappingView(key: NatKey, entry: NatEntry, now: bigint): MappingView {
  return {
    protocol: protocolName(key.protocol),
    direction: key.direction === NatDirection.OUT ? "out" : "in",
    source: endText(formatIp(key.source), key.sourcePort),
    destination: endText(formatIp(key.destination), key.destinationPort),
    becomes: endText(formatIp(entry.address), entry.port),
    idle: Math.max(0, Math.round(Number(now - entry.used) / 1e9)),
  };
}

/** All rows: two a flow, the way out and the way back. */
export function* listMappings(nat: TypedMap<NatKey, NatEntry>): Generator<MappingView> {
  const now = monotonicNs();
  for (const [key, entry] of nat.entries()) yield mappingView(key, entry, now);
}
