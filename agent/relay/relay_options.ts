/** What a relay's services take. */

import type { GrpcClient } from "../grpc/grpc_client.ts";
import type { PeerList, RelayPeer } from "./peers.ts";

export interface RelayOptions {
  /** What the relay calls itself. */
  name: string;
  version: string;
  peers: PeerList;
  connect: (peer: RelayPeer) => Promise<GrpcClient>;
}
