/**
 * HTTP/2 (RFC 9113) on a connection, as much as gRPC needs, for both sides: the oldest Deno's own is
 * for clients of HTTP alone. What a peer may make this side keep is bounded by windows; answers to
 * its frames are sent before the next one is read.
 */

import { HpackDecoder, HpackError } from "./hpack/decoder.ts";
import { encodeHeaders } from "./hpack/encoder.ts";
import {
  content,
  fixed,
  Flag,
  type Frame,
  FRAME_HEAD,
  FRAME_SIZE,
  frameBytes,
  FrameType,
  Http2Code,
  Http2Error,
  MAX_WINDOW,
  PREFACE,
  printableText,
  Setting,
  settingsFrame,
  settingsOf,
  uint32,
  WINDOW,
  writeFrameHead,
} from "./frame.ts";
import { FrameReader } from "./frame_reader.ts";
import { HeaderBlock } from "./header_block.ts";
import { type Fields, Http2Stream, type StreamConnection } from "./http2_stream.ts";

/** A connection as Deno has it, of any kind. */
export type ByteConnection = Pick<Deno.Conn, "read" | "write" | "close"> & {
  setNoDelay?: (on: boolean) => void;
};

/** Options for {@linkcode Http2Connection}. */
export interface Http2Options {
  /** Called for each stream that the client opens; without it this side is the client. */
  onStream?: (stream: Http2Stream, headers: Map<string, string>) => void;
  /** Streams that a client may have at the same time. @default {32} */
  maxStreams?: number;
  /** Bytes that each stream may send ahead of its reader. @default {65535} */
  window?: number;
}

const NO_HTTP2 = "the peer does not speak HTTP/2";

/** Milliseconds to read what a peer said that takes nothing any more. */
const LAST_WORDS_MS = 1_000;

/** Streams that a client may reset before it has to come again. */
const MAX_RESETS = 10_000;

export class Http2Connection implements StreamConnection {
  readonly #connection: ByteConnection;
  readonly #options: Http2Options;
  readonly #maxStreams: number;
  readonly #window: number;
  readonly #streams = new Map<number, Http2Stream>();
  readonly #decoder = new HpackDecoder();
  /** Whoever waits for room to send. */
  readonly #waiting = new Set<() => void>();
  #writing: Promise<void> = Promise.resolve();
  #closed = false;
  #broken: ReturnType<typeof setTimeout> | undefined;
  #lastId: number;
  #resets = 0;
  /** Of the connection: bytes that may be sent, and that were read and not yet said to be. */
  #sendWindow = WINDOW;
  #unacknowledged = 0;
  #peerWindow = WINDOW;
  #peerFrameSize = FRAME_SIZE;
  /** A block of headers that is not whole. */
  #block: HeaderBlock | undefined;

  constructor(connection: ByteConnection, options: Http2Options) {
    this.#connection = connection;
    connection.setNoDelay?.(true);
    this.#options = options;
    this.#maxStreams = options.maxStreams ?? 32;
    this.#window = options.window ?? WINDOW;
    this.#lastId = options.onStream ? 0 : -1;
  }

  /** Streams under way. */
  get streams(): number {
    return this.#streams.size;
  }

  /** Serves until either side ends. Resolves with what went wrong; undefined: the peer has gone. */
  async run(): Promise<Error | undefined> {
    let failure: Error | undefined;
    try {
      await this.#serve();
    } catch (error) {
      failure = error as Error;
      if (failure instanceof HpackError) {
        failure = new Http2Error(Http2Code.COMPRESSION_ERROR, failure.message);
      }
      if (failure instanceof Http2Error && !this.#closed) await this.#goAway(failure);
    }
    const asked = this.#closed;
    this.close(failure);
    return asked ? undefined : failure;
  }

  /** Opens a stream, as a client. Throws when the connection is closed. */
  async open(fields: Fields): Promise<Http2Stream> {
    if (this.#closed) throw new Error("the connection is closed");
    this.#lastId += 2;
    const stream = new Http2Stream(this, this.#lastId, this.#peerWindow, this.#window);
    this.#streams.set(stream.id, stream);
    await stream.sendHeaders(fields);
    return stream;
  }

  /** Ends all streams and the connection. */
  close(why: Error = new Error("the connection is closed")): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#broken);
    for (const stream of [...this.#streams.values()]) stream.fail(why);
    this.#wake();
    try {
      this.#connection.close();
    } catch { /* it was closed already */ }
  }

  async #serve(): Promise<void> {
    const reader = new FrameReader((buffer) => this.#connection.read(buffer));
    const settings = settingsFrame([
      [Setting.INITIAL_WINDOW_SIZE, this.#window],
      ...(this.#options.onStream
        ? [[Setting.MAX_CONCURRENT_STREAMS, this.#maxStreams] as const]
        : [[Setting.ENABLE_PUSH, 0] as const]), // a server must not push
    ]);
    if (this.#options.onStream) {
      const preface = await reader.bytes(PREFACE.length);
      if (!preface) return;
      if (preface.some((byte, i) => byte !== PREFACE[i])) {
        throw new Http2Error(Http2Code.PROTOCOL_ERROR, NO_HTTP2);
      }
      void this.#write(settings);
    } else {
      void this.#write(PREFACE);
      void this.#write(settings);
    }
    // of the connection as a whole as much as the streams may have
    this.#sendWindowUpdate(0, Math.min(MAX_WINDOW, this.#maxStreams * this.#window) - WINDOW);
    for (let first = true; !this.#closed; first = false) {
      const frame = await reader.frame().catch((error) => {
        throw first && error instanceof Http2Error ? new Http2Error(error.code, NO_HTTP2) : error;
      });
      if (!frame) return;
      if (first && frame.type !== FrameType.SETTINGS) {
        throw new Http2Error(Http2Code.PROTOCOL_ERROR, NO_HTTP2);
      }
      this.#receive(frame);
      // so that no peer piles up what it does not take
      await this.#writing;
    }
  }

  #receive(frame: Frame): void {
    const { type, flags, stream: id, payload } = frame;
    if (this.#block && (type !== FrameType.CONTINUATION || id !== this.#block.stream)) {
      throw new Http2Error(Http2Code.PROTOCOL_ERROR, "a block of headers is not whole");
    }
    switch (type) {
      case FrameType.DATA:
        return this.#receiveData(frame);
      case FrameType.HEADERS:
        if (id === 0) throw new Http2Error(Http2Code.PROTOCOL_ERROR, "headers of no stream");
        this.#block = new HeaderBlock(id, (flags & Flag.END_STREAM) !== 0);
        return this.#addToBlock(this.#block, content(frame), flags);
      case FrameType.CONTINUATION:
        if (!this.#block) throw new Http2Error(Http2Code.PROTOCOL_ERROR, "nothing to continue");
        return this.#addToBlock(this.#block, payload, flags);
      case FrameType.RST_STREAM: {
        const stream = this.#streams.get(id);
        if (++this.#resets > MAX_RESETS) {
          throw new Http2Error(Http2Code.ENHANCE_YOUR_CALM, "too many streams were reset");
        }
        stream?.fail(new Http2Error(fixed(payload, 4).getUint32(0), "the peer reset the stream"));
        return;
      }
      case FrameType.SETTINGS:
        if (flags & Flag.ACK) return;
        this.#applySettings(payload);
        return this.#answer({ ...frame, flags: Flag.ACK, payload: new Uint8Array(0) });
      case FrameType.PING:
        fixed(payload, 8);
        if (flags & Flag.ACK) return;
        return this.#answer({ ...frame, flags: Flag.ACK });
      case FrameType.GOAWAY: {
        const code = fixed(payload, 8).getUint32(4);
        if (code !== Http2Code.NO_ERROR) {
          throw new Error(`the peer ended the connection: ${printableText(payload.subarray(8))}`);
        }
        return;
      }
      case FrameType.WINDOW_UPDATE: {
        const bytes = fixed(payload, 4).getUint32(0) & MAX_WINDOW;
        if (bytes === 0) throw new Http2Error(Http2Code.PROTOCOL_ERROR, "a window grows by 0");
        if (id === 0) {
          this.#sendWindow += bytes;
          if (this.#sendWindow > MAX_WINDOW) {
            throw new Http2Error(Http2Code.FLOW_CONTROL_ERROR, "the window is too large");
          }
        } else this.#streams.get(id)?.addWindow(bytes);
        return this.#wake();
      }
      case FrameType.PUSH_PROMISE:
        throw new Http2Error(Http2Code.PROTOCOL_ERROR, "nothing may be pushed");
    }
  }

  #receiveData(frame: Frame): void {
    const { flags, stream: id, payload } = frame;
    this.#checkStarted(id);
    const stream = this.#streams.get(id);
    // padding and what nobody reads any more is taken at once; the rest counts when it is read
    const data = content(frame);
    this.#acknowledge(undefined, payload.length);
    if (!stream) return;
    stream.receiveWindow -= payload.length;
    if (stream.receiveWindow < 0) {
      throw new Http2Error(Http2Code.FLOW_CONTROL_ERROR, "more was sent than there is room for");
    }
    this.#acknowledge(stream, payload.length - data.length);
    stream.receiveData(data.slice(), (flags & Flag.END_STREAM) !== 0);
  }

  #addToBlock(block: HeaderBlock, part: Uint8Array, flags: number): void {
    block.add(part);
    if (!(flags & Flag.END_HEADERS)) return;
    this.#block = undefined;
    this.#receiveHeaders(block.stream, this.#decoder.decode(block.bytes()), block.end);
  }

  #receiveHeaders(id: number, fields: Map<string, string>, end: boolean): void {
    const known = this.#streams.get(id);
    if (known) return known.receiveHeaders(fields, end);
    const { onStream } = this.#options;
    if (!onStream || id <= this.#lastId) return this.#checkStarted(id);
    if (id % 2 === 0) throw new Http2Error(Http2Code.PROTOCOL_ERROR, "a stream has an even number");
    this.#lastId = id;
    const stream = new Http2Stream(this, id, this.#peerWindow, this.#window);
    if (this.#streams.size >= this.#maxStreams) {
      return this.sendReset(stream, Http2Code.REFUSED_STREAM);
    }
    this.#streams.set(id, stream);
    stream.receiveHeaders(fields, end);
    onStream(stream, fields);
  }

  #checkStarted(id: number): void {
    if (id === 0 || id > this.#lastId) {
      throw new Http2Error(Http2Code.PROTOCOL_ERROR, `there was no stream ${id}`);
    }
  }

  #applySettings(payload: Uint8Array): void {
    for (const [name, value] of settingsOf(payload)) {
      if (name === Setting.INITIAL_WINDOW_SIZE) {
        if (value > MAX_WINDOW) {
          throw new Http2Error(Http2Code.FLOW_CONTROL_ERROR, "the window is too large");
        }
        for (const stream of this.#streams.values()) stream.addWindow(value - this.#peerWindow);
        this.#peerWindow = value;
        this.#wake();
      } else if (name === Setting.MAX_FRAME_SIZE) {
        if (value < FRAME_SIZE || value >= 2 ** 24) {
          throw new Http2Error(Http2Code.PROTOCOL_ERROR, `frames of ${value} bytes`);
        }
        this.#peerFrameSize = value;
      }
    }
  }

  sendHeaders(id: number, fields: Fields, end: boolean): Promise<void> {
    const payload = encodeHeaders(fields);
    const flags = Flag.END_HEADERS | (end ? Flag.END_STREAM : 0);
    return this.#write(frameBytes({ type: FrameType.HEADERS, flags, stream: id, payload }));
  }

  async sendData(stream: Http2Stream, data: Uint8Array, end: boolean): Promise<number> {
    const length = Math.max(0, Math.min(data.length, this.#sendWindow, stream.sendWindow));
    const whole = length === data.length;
    if (length === 0 && !(whole && end)) return 0;
    this.#sendWindow -= length;
    stream.sendWindow -= length;
    const frames = Math.max(1, Math.ceil(length / this.#peerFrameSize));
    const bytes = new Uint8Array(length + frames * FRAME_HEAD);
    for (let i = 0, at = 0, from = 0; i < frames; i++) {
      const size = Math.min(this.#peerFrameSize, length - from);
      const last = i === frames - 1 && whole && end;
      writeFrameHead(bytes, at, {
        type: FrameType.DATA,
        flags: last ? Flag.END_STREAM : 0,
        stream: stream.id,
        length: size,
      });
      bytes.set(data.subarray(from, from + size), at + FRAME_HEAD);
      at += FRAME_HEAD + size;
      from += size;
    }
    await this.#write(bytes);
    return length;
  }

  room(stream: Http2Stream): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    if (this.#closed || stream.signal.aborted) resolve();
    else this.#waiting.add(resolve);
    return promise;
  }

  consumed(stream: Http2Stream, bytes: number): void {
    this.#acknowledge(stream, bytes);
  }

  sendReset({ id }: Http2Stream, code: number): void {
    this.#answer({ type: FrameType.RST_STREAM, flags: 0, stream: id, payload: uint32(code) });
  }

  finished(stream: Http2Stream): void {
    this.#streams.delete(stream.id);
    this.#wake();
  }

  /** Lets the peer send as much again, when it is worth a frame. */
  #acknowledge(stream: Http2Stream | undefined, bytes: number): void {
    if (stream) {
      if (stream.remoteEnded) return;
      stream.unacknowledged += bytes;
      if (stream.unacknowledged < this.#window / 2) return;
      stream.receiveWindow += stream.unacknowledged;
      this.#sendWindowUpdate(stream.id, stream.unacknowledged);
      stream.unacknowledged = 0;
    } else {
      this.#unacknowledged += bytes;
      if (this.#unacknowledged < WINDOW / 2) return;
      this.#sendWindowUpdate(0, this.#unacknowledged);
      this.#unacknowledged = 0;
    }
  }

  #sendWindowUpdate(stream: number, bytes: number): void {
    if (bytes <= 0) return;
    this.#answer({ type: FrameType.WINDOW_UPDATE, flags: 0, stream, payload: uint32(bytes) });
  }

  /** Sends a frame that nobody waits for. */
  #answer(frame: Frame): void {
    void this.#write(frameBytes(frame));
  }

  /** Tells the peer why; a peer that takes nothing is not waited for. */
  async #goAway({ code, message }: Http2Error): Promise<void> {
    const text = new TextEncoder().encode(message);
    const payload = new Uint8Array(8 + text.length);
    payload.set(uint32(this.#options.onStream ? this.#lastId : 0, code));
    payload.set(text, 8);
    let timer: ReturnType<typeof setTimeout> | undefined = undefined;
    await Promise.race([
      this.#write(frameBytes({ type: FrameType.GOAWAY, flags: 0, stream: 0, payload })),
      new Promise<void>((resolve) => timer = setTimeout(resolve, 1000)),
    ]);
    clearTimeout(timer);
  }

  /** Writes after what is being written. A connection that cannot be written to ends soon. */
  #write(bytes: Uint8Array): Promise<void> {
    return this.#writing = this.#writing.then(async () => {
      try {
        for (let at = 0; at < bytes.length && !this.#closed && !this.#broken;) {
          at += await this.#connection.write(bytes.subarray(at));
        }
      } catch (error) {
        // what the peer has said before it went is still to be read
        this.#broken ??= setTimeout(() => this.close(error as Error), LAST_WORDS_MS);
      }
    });
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }
}
