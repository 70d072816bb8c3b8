/** Metrics on an address of their own: nothing but /metrics. */

import type { HostPort } from "./option_kinds.ts";

/** Serves until disposed of. */
export function serveMetrics(
  { hostname, port }: HostPort,
  metrics: () => Promise<Response>,
): AsyncDisposable {
  const server = Deno.serve(
    { hostname, port, onListen: () => {} },
    async (request) =>
      new URL(request.url).pathname === "/metrics"
        ? await metrics()
        : new Response("Only /metrics is here\n", { status: 404 }),
  );
  return { [Symbol.asyncDispose]: () => server.shutdown() };
}
