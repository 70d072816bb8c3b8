/** One request and its answer on a connection of HTTP/2, from either side. */

import { Http2Code, Http2Error, MAX_WINDOW } from "./frame.ts";
import { addPiece } from "./pieces.ts";

export type Fields = readonly (readonly [name: string, value: string])[];

/** What a stream needs of its connection. */
export interface StreamConnection {
  sendHeaders(id: number, fields: Fields, end: boolean): Promise<void>;
  /** Sends what the windows allow, and gives how many bytes that was. */
  sendData(stream: Http2Stream, data: Uint8Array, end: boolean): Promise<number>;
  /** Resolves when there is more room to send. */
  room(stream: Http2Stream): Promise<void>;
  /** Bytes that were read make room for others. */
  consumed(stream: Http2Stream, bytes: number): void;
  sendReset(stream: Http2Stream, code: number): void;
  /** Both sides have ended. */
  finished(stream: Http2Stream): void;
}

export class Http2Stream {
  readonly id: number;
  /** Bytes that may be sent; below 0 when the peer has made its window smaller. */
  sendWindow: number;
  /** Bytes that the peer may send. */
  receiveWindow: number;
  /** Bytes that were read and not yet said to be. */
  unacknowledged = 0;
  /** The first headers that came. */
  readonly headers = Promise.withResolvers<Map<string, string>>();
  /** Headers at the end, if there were any. */
  trailers: Map<string, string> | undefined;
  readonly #connection: StreamConnection;
  readonly #end = new AbortController();
  readonly #chunks: Uint8Array[] = [];
  #hasHeaders = false;
  #remoteEnded = false;
  #localEnded = false;
  #failure: Error | undefined;
  #wake: (() => void) | undefined;

  constructor(connection: StreamConnection, id: number, send: number, receive: number) {
    this.#connection = connection;
    this.id = id;
    this.sendWindow = send;
    this.receiveWindow = receive;
    this.headers.promise.catch(() => {});
  }

  /** Aborted when the stream was reset or its connection is gone. */
  get signal(): AbortSignal {
    return this.#end.signal;
  }

  get remoteEnded(): boolean {
    return this.#remoteEnded;
  }

  /** The next bytes; undefined at the end. Throws when the stream was reset. */
  async read(): Promise<Uint8Array | undefined> {
    while (this.#chunks.length === 0) {
      if (this.#remoteEnded) return undefined;
      if (this.#failure) throw this.#failure;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
    }
    const chunk = this.#chunks.shift()!;
    this.#connection.consumed(this, chunk.length);
    return chunk;
  }

  async sendHeaders(fields: Fields, end = false): Promise<void> {
    if (this.#failure) throw this.#failure;
    await this.#connection.sendHeaders(this.id, fields, end);
    if (end) this.#endLocal();
  }

  /** Sends all of it, as the peer takes it. Throws when the stream is reset. */
  async send(data: Uint8Array, end = false): Promise<void> {
    for (let sent = 0; sent < data.length || end;) {
      if (this.#failure) throw this.#failure;
      const now = await this.#connection.sendData(this, data.subarray(sent), end);
      sent += now;
      if (sent === data.length) break;
      if (now === 0) await this.#connection.room(this);
    }
    if (end) this.#endLocal();
  }

  /** Ends it at once, if it has not ended. */
  reset(code: number): void {
    if (this.#failure || (this.#localEnded && this.#remoteEnded)) return;
    this.#connection.sendReset(this, code);
    this.fail(new Http2Error(code, "the stream was cancelled"));
  }

  /** Headers or trailers have come. Throws Http2Error. */
  receiveHeaders(fields: Map<string, string>, end: boolean): void {
    if (this.#hasHeaders) this.trailers = fields;
    else this.headers.resolve(fields);
    this.#hasHeaders = true;
    if (end) this.#endRemote();
  }

  /** Bytes have come. Throws Http2Error. */
  receiveData(data: Uint8Array, end: boolean): void {
    if (data.length > 0 && !this.#failure) addPiece(this.#chunks, data);
    if (end) this.#endRemote();
    this.#wake?.();
  }

  /** The peer takes more. Throws Http2Error. */
  addWindow(bytes: number): void {
    this.sendWindow += bytes;
    if (this.sendWindow > MAX_WINDOW) {
      throw new Http2Error(Http2Code.FLOW_CONTROL_ERROR, "a window is too large");
    }
  }

  /** It was reset, or the connection is gone. */
  fail(error: Error): void {
    if (this.#failure || (this.#localEnded && this.#remoteEnded)) return;
    // an answer that is whole counts, although the peer took not all of the request
    if (this.#remoteEnded) this.#localEnded = true;
    this.#failure = error;
    if (!this.#remoteEnded) this.#chunks.length = 0;
    this.headers.reject(error);
    this.#end.abort(error);
    this.#wake?.();
    this.#connection.finished(this);
  }

  #endRemote(): void {
    this.#remoteEnded = true;
    this.#wake?.();
    if (this.#localEnded) this.#connection.finished(this);
  }

  #endLocal(): void {
    this.#localEnded = true;
    if (this.#remoteEnded) this.#connection.finished(this);
  }
}
