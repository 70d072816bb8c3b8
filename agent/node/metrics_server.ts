/** Metrics on an address of their own: nothing but /metrics. */

import { ConnectionBudget } from "../api/http/connection_budget.ts";
import { HttpResponse } from "../api/http/http_response.ts";
import { HttpServer } from "../api/http/http_server.ts";
import type { Log } from "../core/log.ts";
import { abortConnection, WRITE_MS } from "./abort_connection.ts";
import type { HostPort } from "./option_kinds.ts";

/** Connections at the same time. */
const MAX_CONNECTIONS = 32;

/**
 * Serves until disposed of. Requests that come while metrics are counted get the same ones, and while
 * there are none to count, `metrics` giving undefined, 503.
 */
export function serveMetrics(
  { hostname, port }: HostPort,
  metrics: () => Promise<HttpResponse | undefined>,
  log: Log,
): AsyncDisposable {
  let counting: Promise<HttpResponse> | undefined;
  const count = async () => await metrics() ?? new HttpResponse(503, "The agent starts\n");
  return new HttpServer({
    listen: () => listen({ hostname, port }),
    handler: ({ path }) =>
      path === "/metrics"
        ? counting ??= count().finally(() => counting = undefined)
        : new HttpResponse(404, "Only /metrics is here\n"),
    writeMs: WRITE_MS,
    abort: abortConnection,
    budget: new ConnectionBudget(MAX_CONNECTIONS),
    onError: (what, error) => log.error("metrics", { what, error: String(error) }),
  });
}

function listen(at: HostPort): Deno.Listener {
  try {
    return Deno.listen(at);
  } catch (cause) {
    throw new Error(
      `Cannot listen on --metrics ${at.hostname}:${at.port}: ${(cause as Error).message}`,
      { cause },
    );
  }
}
