/**
 * The ports by which external load balancers check whether this node has backends of a service whose
 * externalTrafficPolicy is Local. Answers as kube-proxy's.
 */

import { ConnectionBudget } from "../../api/http/connection_budget.ts";
import { HttpResponse } from "../../api/http/http_response.ts";
import { HttpServer } from "../../api/http/http_server.ts";
import { abortConnection, WRITE_MS } from "../abort_connection.ts";
import type { ReadonlyTable } from "../../core/table.ts";

/** Connections at the same time to all ports: they are open to the world. */
const MAX_CONNECTIONS = 64;

/** A service that is checked. */
export interface HealthCheck {
  namespace: string;
  name: string;
  /** healthCheckNodePort. */
  port: number;
  /** Backends of this node that take new connections. */
  localEndpoints: number;
}

/** Serves the rows of a table until it is disposed of. */
export class HealthCheckServers implements AsyncDisposable {
  readonly #checks: ReadonlyTable<HealthCheck>;
  readonly #onError: (check: HealthCheck, error: unknown) => void;
  readonly #watch: Disposable;
  /** By port. */
  readonly #servers = new Map<number, HttpServer>();
  readonly #budget = new ConnectionBudget(MAX_CONNECTIONS);
  #work: Promise<void> = Promise.resolve();

  constructor(
    checks: ReadonlyTable<HealthCheck>,
    onError: (check: HealthCheck, error: unknown) => void,
  ) {
    this.#checks = checks;
    this.#onError = onError;
    this.#watch = checks.watch(() => this.#follow());
    this.#follow();
  }

  /** Resolves when every port is as the table had it when this was called. */
  async settled(): Promise<void> {
    await this.#work;
  }

  #follow(): void {
    this.#work = this.#work.then(() => this.#apply());
  }

  async #apply(): Promise<void> {
    const wanted = new Map(this.#checks.rows().map((check) => [check.port, check]));
    for (const [port, server] of this.#servers) {
      if (wanted.has(port)) continue;
      this.#servers.delete(port);
      await server[Symbol.asyncDispose]();
    }
    for (const [port, check] of wanted) {
      if (this.#servers.has(port)) continue;
      try {
        this.#servers.set(
          port,
          new HttpServer({
            // every address of the node, of both families: this is where balancers ask
            listen: () => Deno.listen({ hostname: "::", port }),
            handler: () => this.#answer(port),
            budget: this.#budget,
            writeMs: WRITE_MS,
            abort: abortConnection,
            onError: (_, error) => this.#onError(check, error),
          }),
        );
      } catch (error) {
        this.#onError(check, error);
      }
    }
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
    this.#watch[Symbol.dispose]();
    await this.#work;
    await Promise.all([...this.#servers.values()].map((server) => server[Symbol.asyncDispose]()));
    this.#servers.clear();
  }
}
