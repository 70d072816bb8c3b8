/** A server of gRPC on listeners of any kind. */

import { pause } from "../core/pause.ts";
import { Http2Code } from "./frame.ts";
import { Http2Connection } from "./http2_connection.ts";
import type { Fields, Http2Stream } from "./http2_stream.ts";
import { framed, messagesOf } from "./messages.ts";
import { encodeMessage, GrpcError, parseTimeout, Status } from "./status.ts";

/** What a method gets beside its request. */
export interface GrpcCall {
  /** Aborted when nobody waits for an answer any more. */
  signal: AbortSignal;
}

/**
 * Answers one request with messages, some at a time; the next ones are asked for when the client has
 * taken these. It may throw GrpcError; other errors are INTERNAL.
 */
export type GrpcMethod = (request: Uint8Array, call: GrpcCall) => AsyncIterable<Uint8Array[]>;

/** Methods by path: "/package.Service/Method". */
export type GrpcMethods = Readonly<Record<string, GrpcMethod>>;

/** Options for {@linkcode GrpcServer}. */
export interface GrpcServerOptions {
  methods: GrpcMethods;
  /** Called for errors of methods that are none of {@linkcode GrpcError}, and of listeners. */
  onError: (what: string, error: unknown) => void;
  /** Connections at the same time, of each listener. @default {64} */
  maxConnections?: number;
  /** Milliseconds in which the request of a call has to come. @default {10_000} */
  requestMs?: number;
}

/** The most bytes of a request. */
const MAX_REQUEST = 128 * 1024;

/** Milliseconds in which a client has to say something; and then to begin a call. */
const FIRST_CALL_MS = 10_000;

/** Milliseconds between attempts to accept after a failure. */
const RETRY_MS = 100;

export class GrpcServer implements AsyncDisposable {
  readonly #options: GrpcServerOptions;
  readonly #maxConnections: number;
  readonly #listeners: Deno.Listener[] = [];
  readonly #accepting: Promise<void>[] = [];
  /** By listener, with the end of each. */
  readonly #connections: Map<Http2Connection, Promise<void>>[] = [];
  readonly #calls = new Set<Promise<void>>();
  readonly #stop = new AbortController();

  constructor(options: GrpcServerOptions) {
    this.#options = options;
    this.#maxConnections = options.maxConnections ?? 64;
  }

  /** Serves what comes there too, until the server or the listener ends. */
  listen(listener: Deno.Listener): void {
    this.#listeners.push(listener);
    const connections = new Map<Http2Connection, Promise<void>>();
    this.#connections.push(connections);
    this.#accepting.push(this.#accept(listener, connections));
  }

  async #accept(
    listener: Deno.Listener,
    connections: Map<Http2Connection, Promise<void>>,
  ): Promise<void> {
    while (!this.#stop.signal.aborted) {
      try {
        this.#admit(await listener.accept(), connections);
      } catch (error) {
        if (this.#stop.signal.aborted || error instanceof Deno.errors.BadResource) return;
        this.#options.onError("accepting a connection failed", error);
        await pause(RETRY_MS, this.#stop.signal);
      }
    }
  }

  #admit(accepted: Deno.Conn, connections: Map<Http2Connection, Promise<void>>): void {
    if (connections.size >= this.#maxConnections) {
      // one that does nothing gives way
      const idle = [...connections.keys()].find(({ streams }) => streams === 0);
      if (!idle) return accepted.close();
      idle.close();
      connections.delete(idle);
    }
    let timer: ReturnType<typeof setTimeout> | undefined = undefined;
    const connection = new Http2Connection(accepted, {
      onStream: (stream, headers) => {
        clearTimeout(timer);
        const call = this.#serve(stream, headers).finally(() => this.#calls.delete(call));
        this.#calls.add(call);
      },
    });
    timer = setTimeout(() => connection.close(), FIRST_CALL_MS);
    const end = connection.run().then(() => {
      clearTimeout(timer);
      connections.delete(connection);
    });
    connections.set(connection, end);
  }

  async #serve(stream: Http2Stream, headers: Map<string, string>): Promise<void> {
    const path = headers.get(":path") ?? "";
    let begun = false;
    try {
      if (headers.get(":method") !== "POST") {
        await stream.sendHeaders([[":status", "405"]], true);
        return stream.reset(Http2Code.NO_ERROR);
      }
      if (!headers.get("content-type")?.startsWith("application/grpc")) {
        await stream.sendHeaders([[":status", "415"]], true);
        return stream.reset(Http2Code.NO_ERROR);
      }
      const method = Object.hasOwn(this.#options.methods, path) && this.#options.methods[path];
      if (!method) throw new GrpcError(Status.UNIMPLEMENTED, `There is no method ${path}`);
      const timeout = parseTimeout(headers.get("grpc-timeout"));
      const deadline = new AbortController();
      const timer = timeout === undefined
        ? undefined
        : setTimeout(() => deadline.abort(), Math.min(timeout, 2 ** 31 - 1));
      const signal = AbortSignal.any([stream.signal, this.#stop.signal, deadline.signal]);
      try {
        const request = await this.#requestOf(stream);
        for await (const messages of method(request, { signal })) {
          if (!begun) await stream.sendHeaders(ANSWER);
          begun = true;
          await stream.send(framed(messages));
        }
      } finally {
        clearTimeout(timer);
      }
      if (deadline.signal.aborted) {
        throw new GrpcError(Status.DEADLINE_EXCEEDED, "the time of the call is over");
      }
      if (this.#stop.signal.aborted) throw new GrpcError(Status.UNAVAILABLE, "the server ends");
      await this.#end(stream, begun, Status.OK);
    } catch (error) {
      if (stream.signal.aborted) return;
      if (!(error instanceof GrpcError)) this.#options.onError(path, error);
      const { code, message } = error instanceof GrpcError
        ? error
        : new GrpcError(Status.INTERNAL, error instanceof Error ? error.message : String(error));
      await this.#end(stream, begun, code, message).catch(() => {});
    }
  }

  /** Throws GrpcError when it does not come. */
  async #requestOf(stream: Http2Stream): Promise<Uint8Array> {
    const late = Promise.withResolvers<never>();
    const { requestMs = 10_000 } = this.#options;
    const timer = setTimeout(
      () => late.reject(new GrpcError(Status.DEADLINE_EXCEEDED, "the request did not come")),
      requestMs,
    );
    try {
      const next = messagesOf(stream, MAX_REQUEST).next();
      const { value } = await Promise.race([next, late.promise]);
      if (value) return value;
      throw new GrpcError(Status.INTERNAL, "the request has no message");
    } finally {
      clearTimeout(timer);
    }
  }

  async #end(stream: Http2Stream, begun: boolean, code: number, message = ""): Promise<void> {
    const fields: Fields = [
      ...(begun ? [] : ANSWER),
      ["grpc-status", String(code)],
      ...(message === "" ? [] : [["grpc-message", encodeMessage(message)] as const]),
    ];
    await stream.sendHeaders(fields, true);
    // a client that still sends need not
    if (!stream.remoteEnded) stream.reset(Http2Code.NO_ERROR);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    for (const listener of this.#listeners) {
      try {
        listener.close();
      } catch { /* it was closed already */ }
    }
    await Promise.all(this.#accepting);
    // calls say that the server ends, to clients that still read
    let timer: ReturnType<typeof setTimeout> | undefined = undefined;
    await Promise.race([
      Promise.allSettled(this.#calls),
      new Promise<void>((resolve) => timer = setTimeout(resolve, 500)),
    ]);
    clearTimeout(timer);
    const ends = this.#connections.flatMap((connections) => [...connections.values()]);
    for (const connections of this.#connections) {
      for (const connection of connections.keys()) connection.close();
    }
    await Promise.all([...ends, ...this.#calls]);
  }
}

const ANSWER: Fields = [[":status", "200"], ["content-type", "application/grpc"]];
