/** One accepted connection: every wait for its client has an end. */

import { concat } from "@std/bytes/concat";
import type { Timer } from "../../core/timer.ts";
import { headEnd, HttpError, type HttpHead, MAX_HEAD, parseHead } from "./http_request.ts";

const READ_SIZE = 4096;

/** Ends the connection with that peer, so that what waits for it fails. */
export type AbortConnection = (peer: Deno.Addr) => void;

/** Reads are one after the other: the head, the body, then until the client has gone. */
export class Connection {
  readonly #conn: Deno.Conn;
  #closed = false;
  #timer: Timer | undefined;
  /** What was read behind the head. */
  #rest: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  #gone: Promise<void> | undefined;

  constructor(conn: Deno.Conn) {
    this.#conn = conn;
  }

  get closed(): boolean {
    return this.#closed;
  }

  close(): void {
    clearTimeout(this.#timer);
    if (this.#closed) return;
    this.#closed = true;
    try {
      this.#conn.close();
    } catch { /* it has ended */ }
  }

  /** Closes the connection after so many milliseconds, unless called again before. */
  #within(ms: number | undefined): void {
    clearTimeout(this.#timer);
    if (ms !== undefined) this.#timer = setTimeout(() => this.close(), ms);
  }

  /**
   * The request's head; undefined when the client has gone or the time is over. Throws HttpError for
   * one that is too large or not HTTP/1.
   */
  async head(ms: number): Promise<HttpHead | undefined> {
    this.#within(ms);
    const chunk = new Uint8Array(READ_SIZE);
    let bytes = new Uint8Array(0);
    while (true) {
      const length = await this.#read(chunk);
      if (length === 0) return undefined;
      const more = concat([bytes, chunk.subarray(0, length)]);
      const end = headEnd(more, bytes.length);
      bytes = more;
      if (end === undefined && bytes.length <= MAX_HEAD) continue;
      this.#within(undefined);
      if (end === undefined) throw new HttpError(413, "The request's head is too large");
      this.#rest = bytes.slice(end);
      return parseHead(new TextDecoder().decode(bytes.subarray(0, end - 4)));
    }
  }

  /** So many bytes of the body. Throws HttpError when they do not come in time. */
  async body(length: number, ms: number): Promise<Uint8Array<ArrayBuffer>> {
    this.#within(ms);
    const bytes = new Uint8Array(length);
    bytes.set(this.#rest.subarray(0, length));
    let have = Math.min(length, this.#rest.length);
    while (have < length) {
      const read = await this.#read(bytes.subarray(have));
      if (read === 0) throw new HttpError(400, "The request's body does not come");
      have += read;
    }
    this.#within(undefined);
    return bytes;
  }

  /** Calls back when the client has gone. What it still sends is dropped. */
  watch(onGone: () => void): void {
    this.#gone ??= this.#drain().then(onGone);
  }

  async #drain(): Promise<void> {
    const chunk = new Uint8Array(READ_SIZE);
    while (await this.#read(chunk) > 0);
  }

  /** 0: no more comes. */
  async #read(into: Uint8Array): Promise<number> {
    if (this.#closed) return 0;
    try {
      return await this.#conn.read(into) ?? 0;
    } catch {
      return 0; // reset by the client, or closed by us
    }
  }

  /**
   * Writes everything; the client has so many milliseconds for taking some of it, after which `abort`
   * is called: closing does not end a write.
   */
  async write(bytes: Uint8Array, ms: number, abort: AbortConnection): Promise<void> {
    const expire = () => abort(this.#conn.remoteAddr);
    for (let sent = 0; sent < bytes.length;) {
      const timer = ms === Infinity ? undefined : setTimeout(expire, ms);
      try {
        sent += await this.#conn.write(bytes.subarray(sent));
      } finally {
        clearTimeout(timer);
      }
    }
  }

  /** Ends the answer, and gives the client a moment to take it: closing at once could reset it away. */
  async finish(ms: number): Promise<void> {
    this.#within(ms);
    await this.#conn.closeWrite();
    await (this.#gone ?? this.#drain());
  }
}
