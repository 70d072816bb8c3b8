/** The rows of pilus_nat: connections that leave with an address of the node. */

import type { TypedMap } from "../../../datapath/bpf/mod.ts";
import { monotonicNs } from "../../../datapath/ffi/libc.ts";
import { type NatEntry, NatFlags, type NatKey } from "../../../datapath/maps/generated.ts";
import { formatIp } from "../../../datapath/net/ip.ts";
import type { MappingView } from "../../api/views.ts";
import { endText } from "./connections.ts";
import { protocolName } from "../observer/names.ts";

const TCP = 6;

function stateOf(protocol: number, flags: number): MappingView["state"] {
  const replied = flags & NatFlags.REPLIED;
  if (protocol !== TCP) return replied ? "replied" : "unreplied";
  const over = NatFlags.FIN_OUT | NatFlags.FIN_IN;
  if (flags & NatFlags.RESET || (flags & over) === over) return "closing";
  return replied ? "established" : "opening";
}

/** One row, which is the way back. `now`: CLOCK_MONOTONIC in ns. */
export function mappingView(key: NatKey, entry: NatEntry, now: bigint): MappingView {
  return {
    protocol: protocolName(key.protocol),
    client: endText(formatIp(entry.address), entry.port),
    frontend: endText(formatIp(entry.frontend), entry.frontendPort),
    own: endText(formatIp(key.destination), key.destinationPort),
    peer: endText(formatIp(key.source), key.sourcePort),
    state: stateOf(key.protocol, entry.flags),
    idle: Math.max(0, Math.round(Number(now - entry.used) / 1e9)),
  };
}

/** All mappings. */
export function* listMappings(nat: TypedMap<NatKey, NatEntry>): Generator<MappingView> {
  const now = monotonicNs();
  for (const [key, entry] of nat.entries()) yield mappingView(key, entry, now);
}
