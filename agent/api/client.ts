/**
 * Speaks HTTP/1.1 with the agent over its unix socket, one connection a call. By hand and without
 * imports, because starting fetch costs the CNI plugin more than all the rest of its work.
 */

import type { ErrorBody } from "./types.ts";

/** The agent cannot be reached. */
export class AgentUnreachableError extends Error {
  override readonly name = "AgentUnreachableError";
}

/** The agent answered that it cannot. */
export class AgentError extends Error {
  override readonly name = "AgentError";
  /** HTTP status. */
  readonly status: number;
  /** See ErrorBody. */
  readonly code: string;
  readonly hint: string | undefined;

  constructor(status: number, { code, message, hint }: ErrorBody) {
    super(message);
    this.status = status;
    this.code = code;
    this.hint = hint;
  }
}

/** Options of a call. */
export interface CallOptions {
  method?: "GET" | "POST" | "PUT" | "DELETE";
  /** Sent as JSON. */
  body?: unknown;
  /** Ends the call; it then throws the signal's reason. */
  signal?: AbortSignal;
}

const encoder = new TextEncoder();

/** Calls the agent that listens on `socket`. */
export class AgentClient {
  readonly #socket: string;

  constructor(socket: string) {
    this.#socket = socket;
  }

  /**
   * The answer's JSON; undefined when it has no body. Throws AgentError for an answer that is no
   * success and AgentUnreachableError when there is none.
   */
  async call<T>(path: string, options: CallOptions = {}): Promise<T> {
    let text = "";
    for await (const part of this.#exchange(path, options)) text += part;
    return (text === "" ? undefined : JSON.parse(text)) as T;
  }

  /**
   * The answer's rows as they come: each line has one, or an array of them, as JSON. Leaving the loop
   * ends the call.
   */
  async *stream<T>(path: string, options: CallOptions = {}): AsyncGenerator<T> {
    let rest = "";
    for await (const part of this.#exchange(path, options)) {
      const lines = (rest + part).split("\n");
      rest = lines.pop()!;
      for (const line of lines) if (line !== "") yield* rowsOf<T>(line);
    }
    if (rest !== "") yield* rowsOf<T>(rest);
  }

  async #connect(): Promise<Deno.UnixConn> {
    try {
      return await Deno.connect({ transport: "unix", path: this.#socket });
    } catch (cause) {
      if (cause instanceof Deno.errors.PermissionDenied) {
        throw new AgentUnreachableError(
          `Cannot reach the agent at ${this.#socket}: permission denied: only root may`,
          { cause },
        );
      }
      const reason = cause instanceof Deno.errors.NotFound
        ? "there is no such socket"
        : cause instanceof Deno.errors.ConnectionRefused
        ? "nothing listens"
        : (cause as Error).message;
      throw new AgentUnreachableError(
        `Cannot reach the agent at ${this.#socket}: ${reason}: is it running? ` +
          "Start it with `pilus agent`; one that is starting says in its log what it waits for",
        { cause },
      );
    }
  }

  /** Sends the request and yields the body's text. */
  async *#exchange(path: string, { method = "GET", body, signal }: CallOptions) {
    signal?.throwIfAborted();
    const connection = await this.#connect();
    let open = true;
    const close = () => {
      if (open) connection.close();
      open = false;
    };
    signal?.addEventListener("abort", close);
    try {
      signal?.throwIfAborted(); // it may have been while the connection was made
      const payload = body === undefined ? "" : JSON.stringify(body);
      await writeAll(
        connection,
        encoder.encode(
          `${method} ${path} HTTP/1.1\r\nhost: pilus\r\nconnection: close\r\n` +
            (payload === "" ? "" : "content-type: application/json\r\n") +
            `content-length: ${encoder.encode(payload).length}\r\n\r\n${payload}`,
        ),
      );
      const reader = new Reader(connection);
      const { status, headers } = parseHead(await reader.until("\r\n\r\n"));
      const bytes = headers.get("transfer-encoding") === "chunked"
        ? chunks(reader)
        : reader.upTo(Number(headers.get("content-length") ?? 0));
      const decoder = new TextDecoder();
      if (status >= 200 && status < 300) {
        for await (const part of bytes) yield decoder.decode(part, { stream: true });
      } else {
        let text = "";
        for await (const part of bytes) text += decoder.decode(part, { stream: true });
        throw new AgentError(status, errorBody(status, text));
      }
    } catch (cause) {
      signal?.throwIfAborted();
      if (cause instanceof AgentError || cause instanceof AgentUnreachableError) throw cause;
      throw new AgentUnreachableError(
        `The agent at ${this.#socket} did not answer ${method} ${path}: ${
          (cause as Error).message
        }`,
        { cause },
      );
    } finally {
      signal?.removeEventListener("abort", close);
      close();
    }
  }
}

function rowsOf<T>(line: string): T[] {
  const row = JSON.parse(line) as T | T[];
  return Array.isArray(row) ? row : [row];
}

async function writeAll(connection: Deno.UnixConn, data: Uint8Array): Promise<void> {
  for (let sent = 0; sent < data.length;) sent += await connection.write(data.subarray(sent));
}

function errorBody(status: number, text: string): ErrorBody {
  try {
    const body = JSON.parse(text) as Partial<ErrorBody>;
    if (typeof body.code === "string" && typeof body.message === "string") return body as ErrorBody;
  } catch {
    // not ours: shown as it is
  }
  return { code: "internal", message: `The agent answered ${status}: ${text.slice(0, 200)}` };
}

function parseHead(text: string): { status: number; headers: Map<string, string> } {
  const [first = "", ...lines] = text.split("\r\n");
  const match = /^HTTP\/1\.1 ([0-9]{3})/.exec(first);
  if (!match) throw new Error(`its answer is not HTTP: ${JSON.stringify(first.slice(0, 60))}`);
  const headers = new Map(lines.map((line) => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
  }));
  return { status: Number(match[1]), headers };
}

async function* chunks(reader: Reader): AsyncGenerator<Uint8Array> {
  while (true) {
    const size = parseInt(await reader.until("\r\n"), 16);
    if (!(size >= 0)) throw new Error("its answer has a chunk without size");
    if (size === 0) return;
    yield* reader.upTo(size);
    await reader.until("\r\n");
  }
}

/** Buffered reading from a connection. */
class Reader {
  readonly #connection: Deno.UnixConn;
  readonly #chunk = new Uint8Array(64 * 1024);
  #left = new Uint8Array(0);

  constructor(connection: Deno.UnixConn) {
    this.#connection = connection;
  }

  async #more(): Promise<Uint8Array> {
    const length = await this.#connection.read(this.#chunk);
    if (length === null) throw new Error("the connection ended early");
    return this.#chunk.slice(0, length);
  }

  /** The ASCII text before `end`, which is consumed too. */
  async until(end: string): Promise<string> {
    let text = "";
    while (true) {
      // byte by byte: what stands before the end is short, what stands behind it is not
      for (const [i, byte] of this.#left.entries()) {
        text += String.fromCharCode(byte);
        if (!text.endsWith(end)) continue;
        this.#left = this.#left.subarray(i + 1);
        return text.slice(0, -end.length);
      }
      if (text.length > 64 * 1024) throw new Error("its answer's head is too long");
      this.#left = new Uint8Array(await this.#more());
    }
  }

  /** Exactly `length` bytes, in parts as they come. */
  async *upTo(length: number): AsyncGenerator<Uint8Array> {
    while (length > 0) {
      if (this.#left.length === 0) this.#left = new Uint8Array(await this.#more());
      const part = this.#left.subarray(0, length);
      this.#left = this.#left.subarray(part.length);
      length -= part.length;
      yield part;
    }
  }
}
