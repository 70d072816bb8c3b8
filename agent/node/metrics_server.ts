/** Metrics on an address of their own: nothing but /metrics. */

/** Serves until disposed of. `address` is HOST:PORT. Throws TypeError when it is not. */
export function serveMetrics(
  address: string,
  metrics: () => Promise<Response>,
): AsyncDisposable {
  const { hostname, port } = parseHostPort(address);
  const server = Deno.serve(
    { hostname, port, onListen: () => {} },
    async (request) =>
      new URL(request.url).pathname === "/metrics"
        ? await metrics()
        : new Response("Only /metrics is here\n", { status: 404 }),
  );
  return { [Symbol.asyncDispose]: () => server.shutdown() };
}

/** HOST:PORT, the host in brackets when it is IPv6; without a host it is the loopback. Throws TypeError. */
function parseHostPort(text: string): { hostname: string; port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:]*)):([0-9]{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (!match || port > 65535) {
    throw new TypeError(`--metrics takes HOST:PORT, such as 127.0.0.1:9962, not ${text}`);
  }
  return { hostname: match[1] ?? (match[2] || "127.0.0.1"), port };
}
