/** The connection table, shown and flushed. */

import type { TypedMap } from "../../../datapath/bpf/mod.ts";
import { monotonicNs } from "../../../datapath/bpf/ffi/libc.ts";
import { type CtEntry, CtFlags, type CtKey } from "../../../datapath/maps/generated.ts";
import { formatIp, formatSocketAddress } from "../../../datapath/net/ip.ts";
import type { ConnectionView } from "../../api/views.ts";
import type { ConnectionFilter } from "../../api/connection_query.ts";
import { protocolName } from "../../core/protocols.ts";
import { connectionFilter } from "./connection_filter.ts";
import type { Row } from "./listing.ts";
import { TimeSlice } from "../../core/time_slice.ts";

const NS_PER_SECOND = 1e9;

function stateOf({ flags }: CtEntry, protocol: number): string {
  if (flags & CtFlags.CLOSING) return "closing";
  if (flags & CtFlags.REPLIED) return "established";
  return protocol === 6 ? "opening" : "unreplied";
}

/** A row in the order of who began. `now`: CLOCK_MONOTONIC in ns. */
function connectionView(key: CtKey, entry: CtEntry, now: bigint): ConnectionView {
  const low = { ip: formatIp(key.low), port: key.lowPort };
  const high = { ip: formatIp(key.high), port: key.highPort };
  const [initiator, responder] = entry.flags & CtFlags.INITIATOR_HIGH ? [high, low] : [low, high];
  return {
    protocol: protocolName(key.protocol),
    initiator: initiator.ip,
    initiatorPort: initiator.port,
    responder: responder.ip,
    responderPort: responder.port,
    ...(entry.flags & CtFlags.SERVICE
      ? { service: formatSocketAddress(formatIp(entry.frontend), entry.frontendPort) }
      : {}),
    state: stateOf(entry, key.protocol),
    expires: Math.round(Number(entry.expires - now) / NS_PER_SECOND),
    packets: entry.packets.map(Number) as [number, number],
    bytes: entry.bytes.map(Number) as [number, number],
    initiatorIdentity: entry.initiatorIdentity,
    responderIdentity: entry.responderIdentity,
  };
}

/** Each row of the table: a connection that lives and passes, or undefined. */
export function* listConnections(
  ct: TypedMap<CtKey, CtEntry>,
  filter: ConnectionFilter,
): Generator<Row<ConnectionView>> {
  const now = monotonicNs(), passes = connectionFilter(filter);
  for (const [key, entry] of ct.entries()) {
    const ends = [{ ip: key.low, port: key.lowPort }, { ip: key.high, port: key.highPort }];
    yield entry.expires >= now && passes(key.protocol, ends)
      ? () => connectionView(key, entry, now)
      : undefined;
  }
}

/** Drops every connection; live ones are judged anew with their next packet. Returns how many. */
export async function flushConnections({ raw }: TypedMap<CtKey, CtEntry>): Promise<number> {
  const slice = new TimeSlice();
  let deleted = 0;
  for (const { keys, count } of raw.batches()) {
    raw.deleteBatch(keys, count);
    deleted += count;
    if (slice.over) await slice.next();
  }
  return deleted;
}
