/** Where Hubble's API is served. */

import { removeIfThere } from "../../core/missing_files.ts";
import { clearSocket } from "../../api/server.ts";
import { tcpListener } from "../../grpc/tcp_listener.ts";
import type { AgentConfig } from "../config.ts";

/** Options that say where, and with which certificate. */
export type HubbleConfig = Pick<
  AgentConfig,
  "runDir" | "hubble" | "hubbleTlsCert" | "hubbleTlsKey"
>;

/** The unix socket in the run directory. */
export function hubbleSocket({ runDir }: Pick<AgentConfig, "runDir">): string {
  return `${runDir}/hubble.sock`;
}

/** Listens on the socket, mode 0600, and on the address of `--hubble`. Throws Error. */
export async function hubbleListeners(config: HubbleConfig): Promise<Deno.Listener[]> {
  const tcp = tcpListenerOf(config);
  try {
    const path = hubbleSocket(config);
    Deno.mkdirSync(config.runDir, { recursive: true, mode: 0o700 });
    await clearSocket(path);
    return [unixListener(path), ...(tcp ? [tcp] : [])];
  } catch (error) {
    tcp?.close();
    throw error;
  }
}

function unixListener(path: string): Deno.Listener {
  const mask = Deno.umask(0o177);
  try {
    const listener = Deno.listen({ transport: "unix", path });
    const close = listener.close.bind(listener);
    listener.close = () => {
      close();
      removeIfThere(path);
    };
    return listener;
  } finally {
    Deno.umask(mask);
  }
}

function tcpListenerOf(
  { hubble, hubbleTlsCert: cert, hubbleTlsKey: key }: HubbleConfig,
): Deno.Listener | undefined {
  if (hubble) return tcpListener({ ...hubble, cert, key, names: NAMES });
  if (cert !== "" || key !== "") throw new Error(`${NAMES.cert} needs ${NAMES.at}`);
  return undefined;
}

const NAMES = { at: "--hubble", cert: "--hubble-tls-cert", key: "--hubble-tls-key" };
