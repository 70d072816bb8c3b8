/**
 * The ports by which external load balancers check whether this node has backends of a service whose
 * externalTrafficPolicy is Local. Answers as kube-proxy's.
 */

import { ConnectionBudget } from "../../api/http/connection_budget.ts";
import { HttpResponse } from "../../api/http/http_response.ts";
import { HttpServer } from "../../api/http/http_server.ts";
import { abortConnection, WRITE_MS } from "../abort_connection.ts";
import { attemptEach } from "../../core/attempt_each.ts";
import type { ApplyResult, Target } from "../../core/reconciler.ts";
import type { ReadonlyTable } from "../../core/table.ts";

/** Connections at the same time to all ports: they are open to the world. */
const MAX_CONNECTIONS = 64;

/** A service that is checked. */
export interface HealthCheck {
  namespace: string;
  name: string;
  /** healthCheckNodePort. */
  port: number;
  /** Backends of this node that are ready; those that terminate make a balancer go elsewhere. */
  localEndpoints: number;
}

function listen({ namespace, name, port }: HealthCheck): Deno.Listener {
  try {
    return Deno.listen({ hostname: "::", port });
  } catch (cause) {
    if (!(cause instanceof Deno.errors.AddrInUse)) throw cause;
    throw new Error(
      `healthCheckNodePort ${port} of Service ${namespace}/${name} is another process's: end that, ` +
        "or change the port",
      { cause },
    );
  }
}

/** The ports that are served, as the node's side of a reconciler of `checks`. */
export class HealthCheckServers implements Target<HealthCheck>, AsyncDisposable {
  readonly #checks: ReadonlyTable<HealthCheck>;
  readonly #onError: (check: HealthCheck, error: unknown) => void;
  /** By port. */
  readonly #servers = new Map<number, HttpServer>();
  readonly #budget = new ConnectionBudget(MAX_CONNECTIONS);

  constructor(
    checks: ReadonlyTable<HealthCheck>,
    onError: (check: HealthCheck, error: unknown) => void,
  ) {
    this.#checks = checks;
    this.#onError = onError;
  }

  /** The checks whose ports are served; what they answer is always that of the table. */
  read(): HealthCheck[] {
    return this.#checks.rows().filter(({ port }) => this.#servers.has(port));
  }

  async apply(
    upserts: HealthCheck[],
    deletes: HealthCheck[],
  ): Promise<ApplyResult<HealthCheck>> {
    await Promise.all(deletes.map(({ port }) => this.#end(port)));
    return { failed: attemptEach(upserts, (check) => this.#serve(check)) };
  }

  #serve(check: HealthCheck): void {
    const { port } = check;
    if (this.#servers.has(port)) return;
    const server = new HttpServer({
      // every address of the node, of both families: this is where balancers ask
      listen: () => listen(check),
      handler: () => this.#answer(port),
      budget: this.#budget,
      writeMs: WRITE_MS,
      abort: abortConnection,
      onError: (_, error) => this.#onError(check, error),
    });
    this.#servers.set(port, server);
  }

  async #end(port: number): Promise<void> {
    const server = this.#servers.get(port);
    this.#servers.delete(port);
    await server?.[Symbol.asyncDispose]();
  }

  #answer(port: number): HttpResponse {
    const check = this.#checks.rows().find((row) => row.port === port);
    if (!check) return new HttpResponse(404);
    const { namespace, name, localEndpoints } = check;
    return HttpResponse.json({
      service: { namespace, name },
      localEndpoints,
      serviceProxyHealthy: true,
    }, {
      status: localEndpoints > 0 ? 200 : 503,
      headers: { "x-load-balancing-endpoint-weight": String(localEndpoints) },
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#servers.keys()].map((port) => this.#end(port)));
  }
}
