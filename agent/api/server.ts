/** HTTP over the agent's unix socket: who may open the socket is root, and may do all. */

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
 * it comes, a Response as it is, undefined as 204. It may throw ApiError; other errors are 500.
 */
export type ApiHandler = (request: ApiRequest) => unknown;

/** Handlers by `METHOD /path/{name}`. */
export type ApiRoutes = Record<string, ApiHandler>;

/** Options for {@linkcode serveApi}. */
export interface ServeApiOptions {
  socket: string;
  routes: ApiRoutes;
  /** Told of every answer 500. @default prints it */
  onError?: (request: string, error: unknown) => void;
  /** A pipe(2) with room for `size` bytes, through which streams go to their clients. */
  openPipe: OpenPipe;
}

/** Opens a pipe with room for `size` bytes. */
export type OpenPipe = (size: number) => { reader: Deno.FsFile; writer: Deno.FsFile };

/** Bytes of a stream that may wait for the client. */
const STREAM_ROOM = 1 << 20;

/** Bytes of a stream that are written at once. */
const STREAM_PART = 1 << 18;

/** The most bytes that a request's body may have. */
const MAX_BODY = 4 * 1024 * 1024;

interface Route {
  method: string;
  segments: string[];
  handler: ApiHandler;
}

/** A running server; disposing it ends open streams and removes the socket. */
export class ApiServer implements AsyncDisposable {
  readonly #server: Deno.HttpServer<Deno.UnixAddr>;
  readonly #socket: string;
  readonly #stop: AbortController;

  constructor(server: Deno.HttpServer<Deno.UnixAddr>, socket: string, stop: AbortController) {
    this.#server = server;
    this.#socket = socket;
    this.#stop = stop;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#server.shutdown();
    try {
      Deno.removeSync(this.#socket);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
}

/**
 * Listens on `socket`, mode 0600; its directory is made (0700) when it is missing. A socket that a
 * dead agent left is replaced. Throws when another agent answers on it or something else is there.
 */
export async function serveApi(
  { socket, routes, onError, openPipe }: ServeApiOptions,
): Promise<ApiServer> {
  Deno.mkdirSync(socket.slice(0, socket.lastIndexOf("/")) || "/", { recursive: true, mode: 0o700 });
  await clearSocket(socket);
  const table = Object.entries(routes).map(([pattern, handler]): Route => {
    const [method = "", path = ""] = pattern.split(" ");
    return { method, segments: path.split("/"), handler };
  });
  const report = onError ??
    ((request, error) => console.error(`${request}: ${(error as Error)?.stack ?? error}`));
  const stop = new AbortController();
  const mask = Deno.umask(0o177);
  try {
    const server = Deno.serve(
      { path: socket, onListen: () => {} },
      (request, { completed }) =>
        answer(request, completed, { table, stop: stop.signal, report, openPipe }),
    );
    return new ApiServer(server, socket, stop);
  } finally {
    Deno.umask(mask);
  }
}

async function clearSocket(path: string): Promise<void> {
  let info: Deno.FileInfo;
  try {
    info = Deno.lstatSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw error;
  }
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

function failure(status: number, { code, message, hint }: ErrorBody): Response {
  return Response.json({ code, message, ...(hint === undefined ? {} : { hint }) }, { status });
}

/** What every request is answered with. */
interface Serving {
  table: readonly Route[];
  stop: AbortSignal;
  report: (request: string, error: unknown) => void;
  openPipe: OpenPipe;
}

async function answer(
  request: Request,
  completed: Promise<void>,
  { table, stop, report, openPipe }: Serving,
): Promise<Response> {
  const url = new URL(request.url);
  const path = url.pathname.split("/");
  const name = `${request.method} ${url.pathname}`;
  let other = false;
  for (const { method, segments, handler } of table) {
    const params = match(segments, path);
    if (!params) continue;
    if (method !== request.method) {
      other = true;
      continue;
    }
    const end = new AbortController();
    completed.finally(() => end.abort()).catch(() => {}); // rejected when the client has gone
    const signal = AbortSignal.any([end.signal, stop]);
    try {
      return toResponse(
        await handler({ params, query: url.searchParams, signal, json: () => readJson(request) }),
        (rows) => lines(rows, openPipe(STREAM_ROOM), signal, (error) => report(name, error)),
      );
    } catch (error) {
      if (error instanceof ApiError) return failure(error.status, error);
      report(name, error);
      return failure(500, {
        code: "internal",
        message: error instanceof Error ? error.message : String(error),
      });
    }
  }
  return other
    ? failure(405, { code: "not-allowed", message: `${url.pathname} has no ${request.method}` })
    : failure(404, { code: "not-found", message: `The agent has no ${url.pathname}` });
}

async function readJson<T>(request: Request): Promise<T> {
  const refuse = (status: number, message: string) =>
    new ApiError(status, { code: "invalid", message });
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  for await (const part of request.body ?? []) {
    size += part.length;
    if (size > MAX_BODY) throw refuse(413, `The request has more than ${MAX_BODY} bytes`);
    parts.push(part.slice());
  }
  let value: unknown;
  try {
    value = JSON.parse(await new Blob(parts).text());
  } catch (error) {
    throw refuse(400, `The request is not JSON: ${(error as Error).message}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw refuse(400, "The request is not a JSON object");
  }
  return value as T;
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === "object" && value !== null && Symbol.asyncIterator in value;
}

function toResponse(
  value: unknown,
  stream: (rows: AsyncIterable<unknown>) => ReadableStream<Uint8Array>,
): Response {
  if (value instanceof Response) return value;
  if (value === undefined) return new Response(null, { status: 204 });
  if (!isAsyncIterable(value)) return Response.json(value);
  return new Response(stream(value), {
    headers: { "content-type": "application/x-ndjson" },
  });
}

/**
 * One JSON a line; ends when the client or the server does. Through a pipe, because a stream of our
 * own would keep all that it has sent (https://github.com/denoland/deno/issues/30298).
 */
function lines(
  rows: AsyncIterable<unknown>,
  { reader, writer }: ReturnType<OpenPipe>,
  signal: AbortSignal,
  report: (error: unknown) => void,
): ReadableStream<Uint8Array> {
  const iterator = rows[Symbol.asyncIterator]();
  let open = true;
  const end = () => {
    if (!open) return;
    open = false;
    writer.close();
    // Not awaited: a generator that waits for its next row finishes when that comes.
    iterator.return?.()?.catch(report);
  };
  const run = async () => {
    const encoder = new TextEncoder();
    const bytes = new Uint8Array(STREAM_PART);
    try {
      while (open) {
        const { done, value } = await iterator.next();
        if (done) return;
        for (let text = JSON.stringify(value) + "\n"; text !== "";) {
          const { read, written } = encoder.encodeInto(text, bytes);
          text = text.slice(read);
          for (let sent = 0; open && sent < written;) {
            sent += await writer.write(bytes.subarray(sent, written));
          }
        }
      }
    } catch (error) {
      if (open && !(error instanceof Deno.errors.BrokenPipe)) report(error);
    } finally {
      end();
    }
  };
  signal.addEventListener("abort", end, { once: true });
  if (signal.aborted) end();
  void run();
  return reader.readable;
}
