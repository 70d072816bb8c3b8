/**
 * A server of HTTP/1.1 that cannot be kept busy by doing nothing: connections have a budget, and each
 * phase of one its time. The runtime's own server has neither. One request a connection.
 */

import { type AbortConnection, Connection } from "./connection.ts";
import type { ConnectionBudget } from "./connection_budget.ts";
import { bodyLength, HttpError, type HttpHead } from "./http_request.ts";
import { HttpResponse, responseBytes } from "./http_response.ts";

/** A request as a handler gets it. */
export interface HttpRequest extends HttpHead {
  /** Aborted when the answer has been sent, its client has gone, or the server stops. */
  signal: AbortSignal;
  /** The whole body. Throws HttpError when it does not come. */
  body(): Promise<Uint8Array<ArrayBuffer>>;
}

/** Answers a request. It may throw HttpError; other errors are 500. */
export type HttpHandler = (request: HttpRequest) => HttpResponse | Promise<HttpResponse>;

/** Options for an {@linkcode HttpServer}. */
export interface HttpServerOptions {
  /** Opens the listener; called again when that was lost. */
  listen: () => Deno.Listener;
  handler: HttpHandler;
  /** May be shared with other servers. */
  budget: ConnectionBudget;
  /** Called for failures of the listener and of handlers. */
  onError: (what: string, error: unknown) => void;
  /** The most bytes of a request's body. @default {0} */
  maxBody?: number;
  /** Milliseconds in which a request's head has to come, and again its body. @default {5000} */
  requestMs?: number;
  /** Milliseconds in which a client has to take some of its answer. @default {Infinity} */
  writeMs?: number;
  /** Called for a client that did not. @default its connection keeps its place */
  abort?: AbortConnection;
}

/** Milliseconds that a client has for closing the connection after its answer. */
const LINGER_MS = 1_000;

/** Milliseconds between attempts to accept or listen again after a failure. */
const RETRY_MS = 100;

/** Milliseconds in which answers under way have to end when the server stops. */
const STOP_MS = 2_000;

/** See the module. Disposing ends every connection. */
export class HttpServer implements AsyncDisposable {
  readonly #options: Required<HttpServerOptions>;
  #listener: Deno.Listener;
  /** The answer of each connection. */
  readonly #connections = new Map<Connection, Promise<void>>();
  readonly #stop = new AbortController();
  readonly #accepting: Promise<void>;

  /** Throws what `listen` throws. */
  constructor(options: HttpServerOptions) {
    this.#options = {
      ...{ maxBody: 0, requestMs: 5_000, writeMs: Infinity, abort: () => {} },
      ...options,
    };
    this.#listener = options.listen();
    this.#accepting = this.#accept();
  }

  /** Listens anew, for when clients cannot reach what is listened on. */
  relisten(): void {
    try {
      this.#listener.close();
    } catch { /* it was closed already */ }
  }

  async #accept(): Promise<void> {
    let failing = false;
    while (!this.#stop.signal.aborted) {
      try {
        this.#admit(await this.#listener.accept());
        failing = false;
      } catch (error) {
        if (this.#stop.signal.aborted) return;
        const lost = error instanceof Deno.errors.BadResource ||
          error instanceof Deno.errors.Interrupted;
        if (!failing && !lost) this.#options.onError("accepting a connection failed", error);
        // what cannot be accepted now, as without free descriptors, waits in the kernel
        failing = !lost || !this.#listen(failing);
        if (failing) await delay(RETRY_MS);
      }
    }
  }

  #listen(failing: boolean): boolean {
    try {
      this.#listener = this.#options.listen();
      return true;
    } catch (error) {
      if (!failing) this.#options.onError("listening failed", error);
      return false;
    }
  }

  #admit(accepted: Deno.Conn): void {
    const { budget, onError } = this.#options;
    const connection = new Connection(accepted);
    if (!budget.add(connection)) {
      connection.close();
      return;
    }
    const answer = this.#serve(connection).catch((error) => {
      const gone = error instanceof Deno.errors.BrokenPipe ||
        error instanceof Deno.errors.ConnectionReset;
      if (!connection.closed && !gone) onError("answering failed", error);
    }).finally(() => {
      connection.close();
      budget.remove(connection);
      this.#connections.delete(connection);
    });
    this.#connections.set(connection, answer);
  }

  readonly #abort: AbortConnection = (peer) => {
    try {
      this.#options.abort(peer);
    } catch (error) {
      this.#options.onError("ending a connection failed", error);
    }
  };

  async #serve(connection: Connection): Promise<void> {
    const { budget, requestMs, writeMs } = this.#options;
    const end = new AbortController();
    try {
      let head: Pick<HttpHead, "method" | "chunks"> = { method: "GET", chunks: false };
      let response: HttpResponse;
      try {
        const whole = await connection.head(requestMs);
        if (whole === undefined) return;
        head = whole;
        budget.busy(connection);
        response = await this.#answer(connection, whole, end);
      } catch (error) {
        if (!(error instanceof HttpError)) throw error;
        const { status, message } = error;
        response = HttpResponse.json({ code: "invalid", message }, { status });
      }
      connection.watch(() => end.abort());
      for await (const part of responseBytes(response, head)) {
        await connection.write(part, writeMs, this.#abort);
      }
    } finally {
      end.abort();
    }
    budget.idle(connection);
    await connection.finish(LINGER_MS);
  }

  async #answer(
    connection: Connection,
    head: HttpHead,
    end: AbortController,
  ): Promise<HttpResponse> {
    const { handler, maxBody, requestMs, writeMs, onError } = this.#options;
    const length = bodyLength(head, maxBody);
    const signal = AbortSignal.any([end.signal, this.#stop.signal]);
    const body = async () => {
      if (head.headers.get("expect")?.toLowerCase() === "100-continue") {
        await connection.write(CONTINUE, writeMs, this.#abort);
      }
      return await connection.body(length, requestMs);
    };
    if (length === 0) connection.watch(() => end.abort());
    try {
      return await handler({ ...head, signal, body });
    } catch (error) {
      if (error instanceof HttpError) throw error;
      onError(`${head.method} ${head.path}`, error);
      const message = error instanceof Error ? error.message : String(error);
      return HttpResponse.json({ code: "internal", message }, { status: 500 });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    this.relisten();
    await this.#accepting;
    const { budget } = this.#options;
    for (const connection of this.#connections.keys()) {
      if (budget.isIdle(connection)) connection.close();
    }
    const { promise: limit, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, STOP_MS);
    await Promise.race([Promise.allSettled(this.#connections.values()), limit]);
    clearTimeout(timer);
    for (const connection of this.#connections.keys()) connection.close();
  }
}

const CONTINUE = new TextEncoder().encode("HTTP/1.1 100 Continue\r\n\r\n");

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
