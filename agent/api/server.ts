/** HTTP over the agent's unix socket: who may open the socket is root, and may do all. */

import { fileInfo, removeIfThere } from "../core/missing_files.ts";
import { periodically } from "../core/periodic.ts";
import { ConnectionBudget } from "./http/connection_budget.ts";
import { HttpError } from "./http/http_request.ts";
import { type BodyStream, HttpResponse } from "./http/http_response.ts";
import { type HttpRequest, HttpServer } from "./http/http_server.ts";
import type { ErrorBody } from "./types.ts";

/** An answer that is no success. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly status: number;
  readonly code: string;
  readonly hint: string | undefined;

  constructor(status: number, { code, message, hint }: ErrorBody) {
    super(message);
    this.status = status;
    this.code = code;
    this.hint = hint;
  }
}

/** What a handler gets. */
export interface ApiRequest {
  /** The `{name}` parts of the pattern, decoded. */
  params: Record<string, string>;
  query: URLSearchParams;
  /** Aborted when the answer has been sent, or its client has gone before the end of it. */
  signal: AbortSignal;
  /** The body's JSON object. Throws ApiError 400 when it is none. */
  json<T>(): Promise<T>;
}

/**
 * Answers one request. What it gives is sent as JSON, an async iterable as one JSON a line while
 * it comes, an HttpResponse as it is, undefined as 204. It may throw ApiError; other errors are 500.
 */
export type ApiHandler = (request: ApiRequest) => unknown;

/** Handlers by `METHOD /path/{name}`. */
export type ApiRoutes = Record<string, ApiHandler>;

/** Options for {@linkcode serveApi}. */
export interface ServeApiOptions {
  socket: string;
  routes: ApiRoutes;
  /** Called for every answer 500, and when the socket cannot be listened on. @default prints it */
  onError?: (request: string, error: unknown) => void;
}

/** The most bytes that a request's body may have. */
const MAX_BODY = 4 * 1024 * 1024;

/** Connections at the same time; a container runtime needs a few, and each monitor one. */
const MAX_CONNECTIONS = 256;

/** Milliseconds between looks whether the socket is still at its path. */
const SOCKET_INTERVAL_MS = 2_000;

interface Route {
  method: string;
  segments: string[];
  handler: ApiHandler;
}

/** A running server; disposing it ends open streams and removes the socket. */
export class ApiServer implements AsyncDisposable {
  readonly #server: HttpServer;
  readonly #path: string;
  /** The socket's inode: what is at the path may be another one. */
  #inode: number | null = null;
  readonly #watch: Disposable;

  constructor({ socket, routes, onError }: ServeApiOptions) {
    const report = onError ??
      ((request, error) => console.error(`${request}: ${(error as Error)?.stack ?? error}`));
    const table = Object.entries(routes).map(([pattern, handler]): Route => {
      const [method = "", path = ""] = pattern.split(" ");
      return { method, segments: path.split("/"), handler };
    });
    this.#path = socket;
    this.#server = new HttpServer({
      listen: () => this.#listen(),
      handler: (request) => answer(request, table, report),
      budget: new ConnectionBudget(MAX_CONNECTIONS),
      onError: report,
      maxBody: MAX_BODY,
    });
    this.#watch = periodically(SOCKET_INTERVAL_MS, () => {
      if (inodeOf(socket) !== this.#inode) this.#server.relisten();
    }, (error) => report("looking for the socket", error));
  }

  #listen(): Deno.UnixListener {
    const mask = Deno.umask(0o177);
    try {
      if (this.#inode !== null) removeIfThere(this.#path);
      const listener = Deno.listen({ transport: "unix", path: this.#path });
      this.#inode = inodeOf(this.#path);
      return listener;
    } finally {
      Deno.umask(mask);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#watch[Symbol.dispose]();
    await this.#server[Symbol.asyncDispose]();
    if (inodeOf(this.#path) === this.#inode) removeIfThere(this.#path);
  }
}

/**
 * Listens on `socket`, mode 0600; its directory is made (0700) when it is missing. A socket that a
 * dead agent left is replaced. Throws when another agent answers on it or something else is there.
 */
export async function serveApi(options: ServeApiOptions): Promise<ApiServer> {
  const { socket } = options;
  Deno.mkdirSync(socket.slice(0, socket.lastIndexOf("/")) || "/", { recursive: true, mode: 0o700 });
  await clearSocket(socket);
  return new ApiServer(options);
}

function inodeOf(path: string): number | null {
  return fileInfo(path)?.ino ?? null;
}

/**
 * Removes the socket that an agent has left. Throws Error when it is another's, or something else is
 * there.
 */
export async function clearSocket(path: string): Promise<void> {
  const info = fileInfo(path);
  if (!info) return;
  if (!info.isSocket) {
    throw new Error(`Cannot listen on ${path}: a file that is no socket is there: remove it`);
  }
  try {
    (await Deno.connect({ transport: "unix", path })).close();
  } catch (error) {
    if (!(error instanceof Deno.errors.ConnectionRefused)) throw error;
    Deno.removeSync(path);
    return;
  }
  throw new Error(`Cannot listen on ${path}: another agent answers there: stop it first`);
}

function match(pattern: string[], path: string[]): Record<string, string> | undefined {
  if (pattern.length !== path.length) return undefined;
  const params: Record<string, string> = {};
  for (const [i, segment] of pattern.entries()) {
    const part = path[i]!;
    if (segment.startsWith("{")) {
      try {
        params[segment.slice(1, -1)] = decodeURIComponent(part);
      } catch {
        return undefined;
      }
    } else if (segment !== part) {
      return undefined;
    }
  }
  return params;
}

function failure(status: number, { code, message, hint }: ErrorBody): HttpResponse {
  return HttpResponse.json({ code, message, ...(hint === undefined ? {} : { hint }) }, { status });
}

async function answer(
  request: HttpRequest,
  table: readonly Route[],
  report: (request: string, error: unknown) => void,
): Promise<HttpResponse> {
  const { method, path, query, signal } = request;
  const parts = path.split("/");
  const name = `${method} ${path}`;
  let other = false;
  for (const route of table) {
    const params = match(route.segments, parts);
    if (!params) continue;
    if (route.method !== method) {
      other = true;
      continue;
    }
    try {
      return toResponse(
        await route.handler({ params, query, signal, json: () => readJson(request) }),
        (rows) => lines(rows, signal, (error) => report(name, error)),
      );
    } catch (error) {
      if (error instanceof HttpError) throw error;
      if (error instanceof ApiError) return failure(error.status, error);
      report(name, error);
      return failure(500, {
        code: "internal",
        message: error instanceof Error ? error.message : String(error),
      });
    }
  }
  return other
    ? failure(405, { code: "not-allowed", message: `${path} has no ${method}` })
    : failure(404, { code: "not-found", message: `The agent has no ${path}` });
}

async function readJson<T>({ body }: HttpRequest): Promise<T> {
  const refuse = (message: string) => new ApiError(400, { code: "invalid", message });
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(await body()));
  } catch (error) {
    if (error instanceof HttpError) throw error;
    throw refuse(`The request is not JSON: ${(error as Error).message}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw refuse("The request is not a JSON object");
  }
  return value as T;
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === "object" && value !== null && Symbol.asyncIterator in value;
}

function toResponse(
  value: unknown,
  stream: (rows: AsyncIterable<unknown>) => BodyStream,
): HttpResponse {
  if (value instanceof HttpResponse) return value;
  if (value === undefined) return new HttpResponse(204);
  if (!isAsyncIterable(value)) return HttpResponse.json(value);
  return new HttpResponse(200, stream(value), { "content-type": "application/x-ndjson" });
}

/** One JSON a line; ends when the client or the server does. */
async function* lines(
  rows: AsyncIterable<unknown>,
  signal: AbortSignal,
  report: (error: unknown) => void,
): BodyStream {
  const iterator = rows[Symbol.asyncIterator]();
  let wake: (() => void) | undefined;
  const end = () => wake?.();
  signal.addEventListener("abort", end, { once: true });
  const encoder = new TextEncoder();
  try {
    while (!signal.aborted) {
      const { done, value } = await new Promise<IteratorResult<unknown>>((resolve, reject) => {
        wake = () => resolve({ done: true, value: undefined });
        iterator.next().then(resolve, reject);
      });
      if (done) return;
      yield encoder.encode(JSON.stringify(value) + "\n");
    }
  } catch (error) {
    report(error);
  } finally {
    signal.removeEventListener("abort", end);
    // Not awaited: a generator that waits for its next row finishes when that comes.
    iterator.return?.()?.catch(report);
  }
}
