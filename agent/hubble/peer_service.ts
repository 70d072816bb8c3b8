/** Hubble's peer service: who the nodes are whose flows a relay asks for. */

import type { GrpcMethods } from "../grpc/grpc_server.ts";
import { encode } from "./messages.ts";

/** A node that has an observer. */
export interface Peer {
  /** `cluster/node`. */
  name: string;
  /** Address and port. */
  address: string;
  /** The name in its certificate; undefined: without TLS. */
  serverName?: string;
}

/** Peers, and when they change. */
export interface Peers {
  list(): Iterable<Peer>;
  /** Calls after each change, until disposed of. */
  watch(changed: () => void): Disposable;
}

const ADDED = 1, DELETED = 2, UPDATED = 3;

/** The methods of the service, by path. */
export function peerMethods(peers: Peers): GrpcMethods {
  return {
    "/peer.Peer/Notify": async function* (_, { signal }) {
      const known = new Map<string, Peer>();
      let wake = () => {};
      signal.addEventListener("abort", () => wake());
      using _watch = peers.watch(() => wake());
      while (!signal.aborted) {
        const { promise, resolve } = Promise.withResolvers<void>();
        wake = resolve;
        const changes = difference(known, peers.list());
        if (changes.length > 0) yield changes.map(notification);
        else await promise;
      }
    },
  };
}

interface PeerChange {
  peer: Peer;
  type: number;
}

/** What has changed since `known`, which is brought up to date. */
function difference(known: Map<string, Peer>, now: Iterable<Peer>): PeerChange[] {
  const changes: PeerChange[] = [];
  const gone = new Map(known);
  for (const peer of now) {
    const before = gone.get(peer.name);
    gone.delete(peer.name);
    if (before?.address === peer.address && before.serverName === peer.serverName) continue;
    known.set(peer.name, peer);
    changes.push({ peer, type: before ? UPDATED : ADDED });
  }
  for (const peer of gone.values()) {
    known.delete(peer.name);
    changes.push({ peer, type: DELETED });
  }
  return changes;
}

function notification({ peer: { name, address, serverName }, type }: PeerChange): Uint8Array {
  return encode("peer.ChangeNotification", {
    name,
    address,
    type,
    ...(serverName === undefined ? {} : { tls: { server_name: serverName } }),
  });
}
