/** Connections whose client takes nothing of its answer. */

import { parseIp } from "../../datapath/net/ip.ts";
import { destroySockets } from "../../datapath/net/sock_diag.ts";

/** Milliseconds that a client in the network has for taking some of its answer. */
export const WRITE_MS = 10_000;

/** Ends the TCP connection with that peer. Throws KernelError when the kernel cannot. */
export function abortConnection(peer: Deno.Addr): void {
  if (peer.transport !== "tcp") return;
  destroySockets([{ address: parseIp(peer.hostname), port: peer.port, protocol: 6 }]);
}
