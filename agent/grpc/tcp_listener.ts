/** Listeners on TCP for what is not for everybody. */

/** Where to listen, and with which certificate. */
export interface TcpListenerOptions {
  hostname: string;
  port: number;
  /** Files in PEM; empty: without TLS, which only the loopback may be. */
  cert: string;
  key: string;
  /** The options that say so, for errors. */
  names: { at: string; cert: string; key: string };
}

/**
 * Listens. Without TLS who is on the way could read along, so that only the loopback is taken; with it
 * any client is answered. Throws Error that names the option.
 */
export function tcpListener(
  { hostname, port, cert, key, names }: TcpListenerOptions,
): Deno.Listener {
  if ((cert === "") !== (key === "")) {
    throw new Error(`${names.cert} and ${names.key} need each other`);
  }
  if (cert === "" && !isLoopbackHost(hostname)) {
    throw new Error(
      `${names.at} ${hostname}:${port} needs ${names.cert} and ${names.key}: ` +
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
  const tls = cert === "" ? undefined : { cert: text(cert), key: text(key) };
  try {
    return tls
      ? Deno.listenTls({ hostname, port, ...tls, alpnProtocols: ["h2"] })
      : Deno.listen({ hostname, port });
  } catch (cause) {
    throw new Error(
      `Cannot listen on ${names.at} ${hostname}:${port}: ${(cause as Error).message}`,
      { cause },
    );
  }
}

function isLoopbackHost(hostname: string): boolean {
  return hostname === "localhost" || hostname === "::1" || /^127(\.\d{1,3}){3}$/.test(hostname);
}
