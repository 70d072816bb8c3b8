/** The connection table and the masquerading table: shown, flushed, and rid of what has run out. */

import type { TypedMap } from "../../datapath/bpf/mod.ts";
import { monotonicNs } from "../../datapath/ffi/libc.ts";
import {
  type CtEntry,
  CtFlags,
  type CtKey,
  type NatEntry,
  type NatKey,
} from "../../datapath/maps/generated.ts";
import { formatIp } from "../../datapath/net/ip.ts";
import type { ConnectionView } from "../api/views.ts";
import { protocolName } from "./names.ts";

const NS_PER_SECOND = 1e9;

function stateOf({ flags }: CtEntry, protocol: number): string {
  if (flags & CtFlags.CLOSING) return "closing";
  if (flags & CtFlags.REPLIED) return "established";
  return protocol === 6 ? "opening" : "unreplied";
}

/** A row in the order of who began. `now`: CLOCK_MONOTONIC in ns. */
export function connectionView(key: CtKey, entry: CtEntry, now: bigint): ConnectionView {
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
      ? { service: endText(formatIp(entry.frontend), entry.frontendPort) }
      : {}),
    state: stateOf(entry, key.protocol),
    expires: Math.round(Number(entry.expires - now) / NS_PER_SECOND),
    packets: entry.packets.map(Number) as [number, number],
    bytes: entry.bytes.map(Number) as [number, number],
    initiatorIdentity: entry.initiatorIdentity,
    responderIdentity: entry.responderIdentity,
  };
}

/** Address and port in one text. */
export function endText(ip: string, port: number): string {
  return ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`;
}

/** The connections; not the rows that only remember a backend for an untranslated sender. */
export function* listConnections(ct: TypedMap<CtKey, CtEntry>): Generator<ConnectionView> {
  const now = monotonicNs();
  for (const [key, entry] of ct.entries()) {
    if (entry.expires >= now) {
      yield connectionView(key, entry, now);
    }
  }
}

/** Rows deleted in one call, between which other work gets its turn. */
const BATCH = 4096;

/** Deletes the rows that `gone` says, in batches. Returns how many. */
async function sweep<K, V>(map: TypedMap<K, V>, gone: (key: K, value: V) => boolean) {
  let keys: K[] = [];
  let deleted = 0;
  let visited = 0;
  const flush = () => {
    map.deleteMany(keys);
    deleted += keys.length;
    keys = [];
  };
  for (const [key, value] of map.entries()) {
    if (gone(key, value)) keys.push(key);
    if (keys.length >= BATCH) flush();
    if (++visited % BATCH === 0) await new Promise((resolve) => setTimeout(resolve, 0));
  }
  flush();
  return deleted;
}

/** Drops what has run out of both tables. `natIdleNs`: how long a mapping without packets is kept. */
export async function collectGarbage(
  ct: TypedMap<CtKey, CtEntry>,
  nat: TypedMap<NatKey, NatEntry>,
  natIdleNs: { tcp: bigint; other: bigint },
): Promise<{ connections: number; mappings: number }> {
  const now = monotonicNs();
  const connections = await sweep(ct, (_key, { expires }) => expires < now);
  const mappings = await sweep(
    nat,
    ({ protocol }, { used }) => now - used > (protocol === 6 ? natIdleNs.tcp : natIdleNs.other),
  );
  return { connections, mappings };
}

/** Drops every connection and mapping; live ones are judged anew with their next packet. */
export async function flushConnections(ct: TypedMap<CtKey, CtEntry>): Promise<number> {
  return await sweep(ct, () => true);
}
