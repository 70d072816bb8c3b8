/** Where Hubble's API is served. */

import { removeIfThere } from "../../core/missing_files.ts";
import { clearSocket } from "../../api/server.ts";
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
  const tcp = tcpListener(config);
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

/** Without TLS who is not on the node could read along, and with it any client is answered. */
function tcpListener(
  { hubble: at, hubbleTlsCert: cert, hubbleTlsKey: key }: HubbleConfig,
): Deno.Listener | undefined {
  if ((cert === "") !== (key === "")) {
    throw new Error("--hubble-tls-cert and --hubble-tls-key need each other");
  }
  if (!at) {
    if (cert !== "") throw new Error("--hubble-tls-cert needs --hubble");
    return undefined;
  }
  if (cert === "" && !isLoopbackHost(at.hostname)) {
    throw new Error(
      `--hubble ${at.hostname}:${at.port} needs --hubble-tls-cert and --hubble-tls-key: ` +
        "only on the loopback flows are given without TLS",
    );
  }
  const text = (path: string) => {
    try {
      return Deno.readTextFileSync(path);
    } catch (cause) {
      throw new Error(`Cannot read ${path}: ${(cause as Error).message}`, { cause });
    }
  };
  try {
    return cert === "" ? Deno.listen(at) : Deno.listenTls({
      ...at,
      cert: text(cert),
      key: text(key),
      alpnProtocols: ["h2"],
    });
  } catch (cause) {
    throw new Error(
      `Cannot listen on --hubble ${at.hostname}:${at.port}: ${(cause as Error).message}`,
      { cause },
    );
  }
}

function isLoopbackHost(hostname: string): boolean {
  return hostname === "localhost" || hostname === "::1" || /^127(\.\d{1,3}){3}$/.test(hostname);
}
