/**
 * The ports by which external load balancers check whether this node has backends of a service whose
 * externalTrafficPolicy is Local. Answers as kube-proxy's.
 */

import type { ReadonlyTable } from "../../core/table.ts";

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
  readonly #servers = new Map<number, Deno.HttpServer<Deno.NetAddr>>();
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
      await server.shutdown();
    }
    for (const [port, check] of wanted) {
      if (this.#servers.has(port)) continue;
      try {
        this.#servers.set(
          port,
          // every address of the node, of both families: this is where balancers ask
          Deno.serve({ hostname: "::", port, onListen: () => {} }, () => this.#answer(port)),
        );
      } catch (error) {
        this.#onError(check, error);
      }
    }
  }

  #answer(port: number): Response {
    const check = this.#checks.rows().find((row) => row.port === port);
    if (!check) return new Response(null, { status: 404 });
    const { namespace, name, localEndpoints } = check;
    return Response.json({
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
    await Promise.all([...this.#servers.values()].map((server) => server.shutdown()));
    this.#servers.clear();
  }
}
