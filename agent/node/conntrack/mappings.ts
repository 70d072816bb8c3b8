/** The rows of pilus_nat: connections that leave with an address of the node. */

import type { TypedMap } from "../../../datapath/bpf/mod.ts";
import { monotonicNs } from "../../../datapath/bpf/ffi/libc.ts";
import { type NatEntry, NatFlags, type NatKey } from "../../../datapath/maps/generated.ts";
import { formatIp, formatSocketAddress } from "../../../datapath/net/ip.ts";
import type { MappingView } from "../../api/views.ts";
import type { ConnectionFilter } from "../../api/connection_query.ts";
import { protocolName } from "../../core/protocols.ts";
import { connectionFilter } from "./connection_filter.ts";
import type { Row } from "./listing.ts";

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
    client: formatSocketAddress(formatIp(entry.address), entry.port),
    frontend: formatSocketAddress(formatIp(entry.frontend), entry.frontendPort),
    own: formatSocketAddress(formatIp(key.destination), key.destinationPort),
    peer: formatSocketAddress(formatIp(key.source), key.sourcePort),
    state: stateOf(key.protocol, entry.flags),
    idle: Math.max(0, Math.round(Number(now - entry.used) / 1e9)),
  };
}

/** Each row of the table: a mapping that passes by any of its four ends, or undefined. */
export function* listMappings(
  nat: TypedMap<NatKey, NatEntry>,
  filter: ConnectionFilter,
): Generator<Row<MappingView>> {
  const now = monotonicNs(), passes = connectionFilter(filter);
  for (const [key, entry] of nat.entries()) {
    const ends = [
      { ip: entry.address, port: entry.port },
      { ip: entry.frontend, port: entry.frontendPort },
      { ip: key.destination, port: key.destinationPort },
      { ip: key.source, port: key.sourcePort },
    ];
    yield passes(key.protocol, ends) ? () => mappingView(key, entry, now) : undefined;
  }
}
