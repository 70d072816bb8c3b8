/** Requests to etcd by its JSON gateway: bounded in silence, with errors that say what is missing. */

import type { Timer } from "../../core/timer.ts";
import { linesOf } from "../../kubernetes/client/lines.ts";
import type { EtcdAccess } from "./etcd_access.ts";

/** What went wrong. */
export type EtcdErrorCode =
  /** No connection, or it broke, or nothing came. */
  | "unreachable"
  /** etcd does not take who asks. */
  | "denied"
  /** The revision, or the lease, is not there any more. */
  | "gone"
  /** An answer that is none of etcd's, or a request that it does not take. */
  | "strange";

/** See the module. */
export class EtcdError extends Error {
  override readonly name = "EtcdError";
  readonly code: EtcdErrorCode;

  constructor(code: EtcdErrorCode, message: string, cause?: unknown) {
    super(message, { cause });
    this.code = code;
  }
}

/** A key with its value, as etcd has it. */
export interface KeyValue {
  key: string;
  value: string;
  modRevision: string;
}

/** Characters of a line: some events, each with a value of at most 1.5 MiB. */
const MAX_LINE = 64 * 1024 * 1024;

/** What etcd answers. */
export type Answer = Record<string, unknown>;

/** See the module. */
export class EtcdClient implements Disposable {
  readonly #access: () => EtcdAccess;
  readonly #patienceMs: number;
  #http: { client: Deno.HttpClient; lost: AbortController; content: string } | undefined;
  /** Which of the endpoints is asked. */
  #turn = 0;
  /** Requests that were made. */
  requests = 0;

  /** @param patienceMs milliseconds that an answer may be awaited */
  constructor(access: () => EtcdAccess, patienceMs = 10_000) {
    this.#access = access;
    this.#patienceMs = patienceMs;
  }

  /** The answer. Throws EtcdError, or the signal's reason. */
  async ask(path: string, body: unknown, signal?: AbortSignal): Promise<Answer> {
    for await (const line of this.#lines(path, body, signal, this.#patienceMs)) {
      return this.#parsed(path, line);
    }
    throw new EtcdError("unreachable", `etcd ${path}: the answer was empty`);
  }

  /** Answers as they come, until the connection ends. Throws EtcdError, or the signal's reason. */
  async *stream(path: string, body: unknown, signal: AbortSignal): AsyncGenerator<Answer> {
    for await (const line of this.#lines(path, body, signal)) {
      const { result } = this.#parsed(path, line);
      if (typeof result === "object" && result !== null) yield result as Answer;
    }
  }

  /** All connections are dead: what waits on them ends. */
  lose(error: unknown): void {
    const lost = this.#http?.lost;
    this.#leave();
    lost?.abort(error);
  }

  async *#lines(
    path: string,
    body: unknown,
    signal: AbortSignal | undefined,
    patienceMs?: number,
  ): AsyncGenerator<string> {
    signal?.throwIfAborted();
    const { client, lost, url } = this.#connection();
    const end = new AbortController();
    const abort = ({ target }: Event) => end.abort((target as AbortSignal).reason);
    for (const each of [signal, lost]) each?.addEventListener("abort", abort);
    let timer: Timer | undefined;
    if (patienceMs !== undefined) {
      const silent = new EtcdError("unreachable", `etcd ${url}: no answer for ${patienceMs} ms`);
      timer = setTimeout(() => {
        end.abort(silent);
        this.#turn++;
        this.lose(silent);
      }, patienceMs);
    }
    try {
      this.requests++;
      const response = await fetch(url + path, {
        client,
        method: "POST",
        signal: end.signal,
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body),
      });
      if (!response.ok) throw errorOf(path, response.status, await response.text());
      // a single answer has no end of its line
      const chunks = response.body ?? new ReadableStream<Uint8Array>();
      yield* linesOf(patienceMs === undefined ? chunks : ended(chunks), MAX_LINE);
    } catch (error) {
      if (end.signal.aborted) throw end.signal.reason;
      if (error instanceof EtcdError) throw error;
      this.#turn++;
      this.#leave();
      const reason = error instanceof Error ? error.cause ?? error : error;
      const text = reason instanceof Error ? reason.message : String(reason);
      throw new EtcdError("unreachable", `etcd ${url} cannot be reached: ${text}`, error);
    } finally {
      clearTimeout(timer);
      for (const each of [signal, lost]) each?.removeEventListener("abort", abort);
      end.abort();
    }
  }

  #connection(): { client: Deno.HttpClient; lost: AbortSignal; url: string } {
    const { endpoints, caCerts, certificate } = this.#access();
    const content = JSON.stringify([caCerts, certificate]);
    if (this.#http?.content !== content) {
      this.#leave();
      let client;
      try {
        client = Deno.createHttpClient({
          ...(caCerts ? { caCerts: [caCerts] } : {}),
          ...(certificate ?? {}),
        });
      } catch (error) {
        throw new EtcdError("denied", `the certificates for etcd cannot be used: ${error}`);
      }
      this.#http = { client, lost: new AbortController(), content };
    }
    const url = endpoints[this.#turn % endpoints.length]!;
    return { client: this.#http!.client, lost: this.#http!.lost.signal, url };
  }

  #parsed(path: string, line: string): Answer {
    let answer: unknown;
    try {
      answer = JSON.parse(line);
    } catch { /* below */ }
    if (typeof answer !== "object" || answer === null) {
      throw new EtcdError("strange", `etcd ${path}: the answer is no JSON`);
    }
    const { error } = answer as { error?: { message?: string; http_code?: number } | string };
    if (error === undefined) return answer as Answer;
    const message = typeof error === "string" ? error : error.message ?? "";
    throw errorOf(path, 0, JSON.stringify({ message }));
  }

  #leave(): void {
    this.#http?.client.close();
    this.#http = undefined;
  }

  [Symbol.dispose](): void {
    this.#leave();
  }
}

async function* ended(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield* chunks;
  yield new TextEncoder().encode("\n");
}

/** Texts of etcd, and what they mean. */
const MEANINGS: readonly [RegExp, EtcdErrorCode, string][] = [
  [
    /user name is empty|permission denied|invalid auth|authentication|common name/i,
    "denied",
    "it does not take who asks: a user that may read and write cilium/ is needed",
  ],
  [
    /database space exceeded/i,
    "unreachable",
    "its database is full: compact and defragment it, and clear its alarm",
  ],
  [/lease not found/i, "gone", "the lease is not there any more"],
  [/required revision has been compacted|future revision/i, "gone", "the revision is not there"],
  [
    /no leader|leader changed|timed out|too many requests|unavailable/i,
    "unreachable",
    "it has no answer now",
  ],
];

function errorOf(path: string, status: number, text: string): EtcdError {
  let said = text;
  try {
    const { message, error } = JSON.parse(text);
    said = message ?? error ?? text;
  } catch { /* not etcd's own words */ }
  said = String(said).slice(0, 400);
  const [, code, meaning] = MEANINGS.find(([pattern]) => pattern.test(said)) ??
    [/./, status >= 500 ? "unreachable" as const : "strange" as const, `refused (${status})`];
  return new EtcdError(code, `etcd ${path}: ${meaning}: ${said}`);
}

/** Base64 of UTF-8, as the gateway has keys and values. */
export function encoded(text: string): string {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}

/** The opposite of {@linkcode encoded}. */
export function decoded(base64: unknown): string {
  if (typeof base64 !== "string") return "";
  return new TextDecoder().decode(Uint8Array.from(atob(base64), (char) => char.charCodeAt(0)));
}

/** The end of the range of all keys that begin so. */
export function endOf(prefix: string): string {
  return prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1);
}
