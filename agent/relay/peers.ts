/** Who the servers are that a relay asks. */

import { pause } from "../core/pause.ts";
import { type ServerAddress, serverAddressText } from "../grpc/dial.ts";
import type { GrpcClient } from "../grpc/grpc_client.ts";
import { decode } from "../hubble/messages.ts";

/** A server of Hubble's API. */
export interface RelayPeer {
  name: string;
  address: ServerAddress;
  /** The name in its certificate. */
  serverName?: string;
}

/** Milliseconds between attempts to hear of peers. */
const RETRY_MS = 2_000;

/** The peers, as they are given or as a peer service tells. */
export class PeerList {
  #peers = new Map<string, RelayPeer>();
  readonly #watchers = new Set<() => void>();

  constructor(peers: readonly RelayPeer[] = []) {
    for (const peer of peers) this.#peers.set(peer.name, peer);
  }

  list(): RelayPeer[] {
    return [...this.#peers.values()];
  }

  /** Calls after each change, until disposed of. */
  watch(changed: () => void): Disposable {
    this.#watchers.add(changed);
    return { [Symbol.dispose]: () => void this.#watchers.delete(changed) };
  }

  #set(peers: Map<string, RelayPeer>): void {
    this.#peers = peers;
    for (const changed of this.#watchers) changed();
  }

  /**
   * Follows a peer service until the signal comes. While it is away, the peers that it told of last
   * count. `onError`: why it is.
   */
  async follow(
    connect: () => Promise<GrpcClient>,
    signal: AbortSignal,
    onError: (error: Error) => void,
  ): Promise<void> {
    while (!signal.aborted) {
      try {
        await using client = await connect();
        const told = new Map<string, RelayPeer>();
        for await (const bytes of client.call("/peer.Peer/Notify", new Uint8Array(0), signal)) {
          const change = decode<Notification>("peer.ChangeNotification", bytes);
          const peer = peerOf(change);
          if (change.type === DELETED) told.delete(change.name ?? "");
          else if (peer) told.set(peer.name, peer);
          this.#set(new Map(told));
        }
      } catch (error) {
        if (signal.aborted) return;
        onError(error as Error);
      }
      await pause(RETRY_MS, signal);
    }
  }
}

const DELETED = 2;

interface Notification {
  name?: string;
  address?: string;
  type?: number;
  tls?: { server_name?: string };
}

/** Undefined for a peer that has no address. */
function peerOf({ name, address = "", tls }: Notification): RelayPeer | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(address);
  if (!name || !match) return undefined;
  const at = { hostname: match[1] ?? match[2]!, port: Number(match[3]), tls: tls !== undefined };
  return { name, address: at, ...(tls?.server_name ? { serverName: tls.server_name } : {}) };
}

/** A peer that is known by its address alone. */
export function namelessPeer(address: ServerAddress): RelayPeer {
  return { name: serverAddressText(address), address };
}
