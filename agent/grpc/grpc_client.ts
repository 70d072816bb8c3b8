/** A client of gRPC on one connection. */

import { Http2Code } from "./frame.ts";
import { type ByteConnection, Http2Connection } from "./http2_connection.ts";
import { framed, messagesOf } from "./messages.ts";
import { decodeMessage, GrpcError, Status } from "./status.ts";

/** Bytes that a server may send ahead of the reader, of each call. */
const WINDOW = 1024 * 1024;

/** The most bytes of a message. */
const MAX_MESSAGE = 4 * 1024 * 1024;

/** Calls at the same time. */
const MAX_CALLS = 16;

export class GrpcClient implements AsyncDisposable {
  readonly #connection: Http2Connection;
  readonly #end: Promise<Error | undefined>;
  readonly #authority: string;
  readonly #scheme: string;

  /** `authority`: what the server is called. */
  constructor(connection: ByteConnection, { authority, tls }: { authority: string; tls: boolean }) {
    this.#connection = new Http2Connection(connection, { window: WINDOW, maxStreams: MAX_CALLS });
    this.#end = this.#connection.run();
    this.#authority = authority;
    this.#scheme = tls ? "https" : "http";
  }

  /** Resolves when the connection has ended, with the reason when there is one. */
  get ended(): Promise<Error | undefined> {
    return this.#end;
  }

  /** The messages that answer a request. Throws GrpcError; leaving the loop cancels the call. */
  async *call(path: string, request: Uint8Array, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    let cancel = () => {};
    try {
      signal?.throwIfAborted();
      const stream = await this.#connection.open([
        [":method", "POST"],
        [":scheme", this.#scheme],
        [":path", path],
        [":authority", this.#authority],
        ["content-type", "application/grpc"],
        ["te", "trailers"],
        ["user-agent", "pilus"],
      ]);
      cancel = () => stream.reset(Http2Code.CANCEL);
      signal?.addEventListener("abort", cancel);
      // an answer may come before all of the request is taken, and then says why
      await stream.send(framed([request]), true).catch((error) => {
        if (!stream.remoteEnded) throw error;
      });
      const headers = await stream.headers.promise;
      const status = headers.get(":status");
      if (status !== "200" || !headers.get("content-type")?.startsWith("application/grpc")) {
        throw new GrpcError(
          Status.UNAVAILABLE,
          `${this.#authority} does not speak gRPC: it answers with HTTP status ${status}`,
        );
      }
      yield* messagesOf(stream, MAX_MESSAGE);
      const end = stream.trailers ?? headers;
      const code = end.get("grpc-status");
      if (code === undefined) throw new GrpcError(Status.UNKNOWN, "the answer has no status");
      if (code !== "0") {
        throw new GrpcError(Number(code), decodeMessage(end.get("grpc-message") ?? ""));
      }
    } catch (error) {
      if (error instanceof GrpcError) throw error;
      if (signal?.aborted) {
        throw new GrpcError(Status.CANCELLED, "the call was cancelled", { cause: error });
      }
      throw new GrpcError(Status.UNAVAILABLE, (error as Error).message, { cause: error });
    } finally {
      signal?.removeEventListener("abort", cancel);
      cancel();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#connection.close();
    await this.#end;
  }
}
