/** Requests to the API server: bounded in size and silence, with errors that say what is missing. */

import { concat } from "@std/bytes/concat";
import type { Access, AccessReader } from "./access.ts";
import {
  ApiError,
  type ApiStatus,
  connectionError,
  type Request,
  statusError,
} from "./api_error.ts";
import { linesOf } from "./lines.ts";
import { Silence } from "./silence.ts";
import { type Connections, Transport } from "./transport.ts";

/** The most bytes of an answer that is read as a whole: a page of large objects. */
const MAX_BYTES = 128 * 1024 * 1024;

/** The most characters of a line: an object has at most 1.5 MB where it is stored. */
const MAX_LINE = 16 * 1024 * 1024;

/** Bytes of an error that are read. */
const MAX_ERROR_BYTES = 64 * 1024;

/** Options for an {@linkcode ApiClient}. */
export interface ApiClientOptions {
  access: AccessReader;
  userAgent: string;
  /** More servers of the cluster, asked when the others cannot be reached. */
  fallbacks?: () => readonly string[];
  /**
   * Milliseconds that an answer, or more of it, may be awaited.
   *
   * @default {60_000}
   */
  patienceMs?: number;
}

/** What to ask. */
export interface ApiRequest extends Request {
  path: string;
  query?: Readonly<Record<string, string>>;
  /** What is sent, as JSON. */
  body?: unknown;
  signal?: AbortSignal;
  /** May become more as the answer comes. @default that of the client */
  patienceMs?: () => number;
  /** Is called when the answer begins, and is one to read. */
  onAnswer?: () => void;
}

/** Verbs as HTTP has them. A patch is an apply: it makes what is not there. */
const METHODS: Readonly<Record<Request["verb"], { method: string; contentType: string }>> = {
  list: { method: "GET", contentType: "" },
  watch: { method: "GET", contentType: "" },
  get: { method: "GET", contentType: "" },
  create: { method: "POST", contentType: "application/json" },
  update: { method: "PUT", contentType: "application/json" },
  patch: { method: "PATCH", contentType: "application/apply-patch+yaml" },
  delete: { method: "DELETE", contentType: "application/json" },
};

interface Answer extends Disposable {
  chunks: AsyncIterable<Uint8Array>;
}

/** See the module. */
export class ApiClient implements Disposable {
  readonly #options: ApiClientOptions & { patienceMs: number };
  readonly #transport = new Transport();
  /** Which of the servers is asked. */
  #turn = 0;
  #heardAt = performance.now();
  /** While no server can be reached: resolves when one can. */
  #away: PromiseWithResolvers<void> | undefined;
  /** Requests that were made. */
  requests = 0;

  constructor(options: ApiClientOptions) {
    this.#options = { patienceMs: 60_000, ...options };
  }

  /** When anything came of the server, as `performance.now` has it. */
  get heardAt(): number {
    return this.#heardAt;
  }

  /** Resolves when a server can be reached again; undefined when none was missed. */
  get back(): Promise<void> | undefined {
    return this.#away?.promise;
  }

  /** What {@linkcode Access} says now. Throws AccessError. */
  access(): Access {
    return this.#options.access();
  }

  /** The answer as JSON. Throws ApiError, or the signal's reason. */
  async json(request: ApiRequest): Promise<unknown> {
    using answer = await this.#ask(request);
    const text = new TextDecoder().decode(await whole(answer.chunks, MAX_BYTES));
    try {
      return JSON.parse(text);
    } catch {
      throw new ApiError("strange", `${request.verb} ${request.resource}: the answer is no JSON`);
    }
  }

  /** The answer's lines as they come. Throws ApiError, or the signal's reason. */
  async *lines(request: ApiRequest): AsyncGenerator<string> {
    using answer = await this.#ask(request);
    try {
      yield* linesOf(answer.chunks, MAX_LINE);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw new ApiError("strange", `${request.verb} ${request.resource}: ${error.message}`);
    }
  }

  async #ask(request: ApiRequest): Promise<Answer> {
    const { path, query = {}, signal, patienceMs = () => this.#options.patienceMs } = request;
    signal?.throwIfAborted();
    const access = this.access();
    const servers = [...access.servers, ...this.#options.fallbacks?.() ?? []];
    const server = servers[this.#turn % servers.length]!;
    const connections = this.#connectionsFor(access);
    const end = new AbortController();
    const abort = ({ target }: Event) => end.abort((target as AbortSignal).reason);
    for (const each of [signal, connections.lost]) each?.addEventListener("abort", abort);
    let answered = false;
    const silence = new Silence(patienceMs, () => {
      const what = `${request.verb} ${request.resource}: ${server}`;
      const error = new ApiError("silent", `${what}: nothing came for ${patienceMs() / 1000} s`);
      end.abort(error);
      // one that answers may be slow with this
      if (!answered) this.#lose(error, connections);
    });
    const dispose = () => {
      silence[Symbol.dispose]();
      for (const each of [signal, connections.lost]) each?.removeEventListener("abort", abort);
      end.abort();
    };
    const failed = (error: unknown): unknown => {
      if (end.signal.aborted) return end.signal.reason;
      if (error instanceof ApiError) return error;
      return connectionError(error, request, server, access);
    };
    const heard = () => {
      this.#heardAt = performance.now();
      silence.heard();
    };
    try {
      this.requests++;
      const { method, contentType } = METHODS[request.verb];
      const sent = request.body !== undefined;
      const response = await fetch(`${server}${path}${queryText(query)}`, {
        method,
        client: connections.http,
        redirect: "manual",
        signal: end.signal,
        headers: {
          accept: "application/json",
          "user-agent": this.#options.userAgent,
          ...(access.token ? { authorization: `Bearer ${access.token}` } : {}),
          ...(sent ? { "content-type": contentType } : {}),
        },
        ...(sent ? { body: JSON.stringify(request.body) } : {}),
      });
      answered = true;
      heard();
      this.#away?.resolve();
      this.#away = undefined;
      const chunks = chunksOf(response, heard, failed);
      if (!response.ok) throw await errorOf(response, chunks, request, access);
      request.onAnswer?.();
      return { chunks, [Symbol.dispose]: dispose };
    } catch (error) {
      const reason = failed(error);
      dispose();
      const code = reason instanceof ApiError ? reason.code : "";
      if (!answered && /^(unreachable|silent)$/.test(code)) {
        this.#away ??= Promise.withResolvers();
      }
      if (/^(unreachable|untrusted)$/.test(code)) {
        this.#turn++;
        this.#transport.leave();
      }
      throw reason;
    }
  }

  /** Throws ApiError. */
  #connectionsFor(access: Access): Connections {
    try {
      return this.#transport.connections(access);
    } catch (error) {
      // what the runtime says of certificates and keys is not what is in them
      const message = `the certificates of the ${access.origin} cannot be used: ${error}`;
      throw new ApiError("untrusted", message);
    }
  }

  #lose(error: ApiError, connections: Connections): void {
    this.#turn++;
    this.#transport.lose(error, connections);
  }

  [Symbol.dispose](): void {
    this.#transport[Symbol.dispose]();
  }
}

function queryText(query: Readonly<Record<string, string>>): string {
  const text = new URLSearchParams(query).toString();
  return text === "" ? "" : `?${text}`;
}

async function* chunksOf(
  { body }: Response,
  heard: () => void,
  failed: (error: unknown) => unknown,
): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of body ?? []) {
      heard();
      yield chunk;
    }
  } catch (error) {
    throw failed(error);
  }
}

async function whole(chunks: AsyncIterable<Uint8Array>, maxBytes: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of chunks) {
    parts.push(chunk);
    bytes += chunk.length;
    if (bytes > maxBytes) {
      throw new ApiError("strange", `the answer has more than ${maxBytes} bytes`);
    }
  }
  return concat(parts);
}

async function errorOf(
  response: Response,
  chunks: AsyncIterable<Uint8Array>,
  request: Request,
  access: Access,
): Promise<ApiError> {
  let text = "";
  const decoder = new TextDecoder();
  for await (const chunk of chunks) {
    text += decoder.decode(chunk, { stream: true });
    if (text.length > MAX_ERROR_BYTES) break;
  }
  let object: ApiStatus | undefined;
  try {
    object = JSON.parse(text);
  } catch { /* not the API server's own words */ }
  const retryAfter = response.headers.get("retry-after");
  return statusError({ status: response.status, object, text, retryAfter }, request, access);
}
