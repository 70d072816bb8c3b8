/** Frames of HTTP/2 (RFC 9113, section 4). */

export const FrameType = {
  DATA: 0,
  HEADERS: 1,
  PRIORITY: 2,
  RST_STREAM: 3,
  SETTINGS: 4,
  PUSH_PROMISE: 5,
  PING: 6,
  GOAWAY: 7,
  WINDOW_UPDATE: 8,
  CONTINUATION: 9,
} as const;

/** Flags; END_STREAM and ACK are one bit, of different types. */
export const Flag = { END_STREAM: 1, ACK: 1, END_HEADERS: 4, PADDED: 8, PRIORITY: 0x20 } as const;

export const Setting = {
  ENABLE_PUSH: 2,
  MAX_CONCURRENT_STREAMS: 3,
  INITIAL_WINDOW_SIZE: 4,
  MAX_FRAME_SIZE: 5,
};

/** Error codes (section 7). */
export const Http2Code = {
  NO_ERROR: 0,
  PROTOCOL_ERROR: 1,
  INTERNAL_ERROR: 2,
  FLOW_CONTROL_ERROR: 3,
  STREAM_CLOSED: 5,
  FRAME_SIZE_ERROR: 6,
  REFUSED_STREAM: 7,
  CANCEL: 8,
  COMPRESSION_ERROR: 9,
  ENHANCE_YOUR_CALM: 11,
} as const;

/** What a client says first. */
export const PREFACE = new TextEncoder().encode("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

export const FRAME_HEAD = 9;
/** The longest payload without being told otherwise, and a window's bytes. */
export const FRAME_SIZE = 16_384;
export const WINDOW = 65_535;
/** The most bytes that a window may have. */
export const MAX_WINDOW = 2 ** 31 - 1;

/** A fault of the peer's that ends the connection. */
export class Http2Error extends Error {
  override readonly name = "Http2Error";
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** One frame, with its payload. */
export interface Frame {
  type: number;
  flags: number;
  stream: number;
  payload: Uint8Array;
}

/** Writes the head of a frame at `offset`. */
export function writeFrameHead(
  bytes: Uint8Array,
  offset: number,
  { type, flags, stream, length }: Omit<Frame, "payload"> & { length: number },
): void {
  bytes[offset] = length >> 16;
  bytes[offset + 1] = length >> 8;
  bytes[offset + 2] = length;
  bytes[offset + 3] = type;
  bytes[offset + 4] = flags;
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(offset + 5, stream);
}

/** The bytes of a frame. */
export function frameBytes(frame: Frame): Uint8Array {
  const bytes = new Uint8Array(FRAME_HEAD + frame.payload.length);
  writeFrameHead(bytes, 0, { ...frame, length: frame.payload.length });
  bytes.set(frame.payload, FRAME_HEAD);
  return bytes;
}

/** 32 bits as four bytes. */
export function uint32(...values: number[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(4 * values.length));
  for (const [i, value] of values.entries()) view.setUint32(4 * i, value);
  return new Uint8Array(view.buffer);
}

/** The bytes of a SETTINGS frame. */
export function settingsFrame(settings: readonly (readonly [number, number])[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(6 * settings.length));
  for (const [i, [name, value]] of settings.entries()) {
    view.setUint16(6 * i, name);
    view.setUint32(6 * i + 2, value);
  }
  const payload = new Uint8Array(view.buffer);
  return frameBytes({ type: FrameType.SETTINGS, flags: 0, stream: 0, payload });
}

/** The payload without padding and priority, of a frame that may have them. Throws Http2Error. */
export function content({ flags, payload }: Frame): Uint8Array {
  let start = 0, end = payload.length;
  if (flags & Flag.PADDED) {
    start = 1;
    end -= payload[0] ?? Infinity;
  }
  if (flags & Flag.PRIORITY) start += 5;
  if (start > end) throw new Http2Error(Http2Code.PROTOCOL_ERROR, "padding exceeds its frame");
  return payload.subarray(start, end);
}

/** The settings of a payload. Throws Http2Error. */
export function* settingsOf(payload: Uint8Array): Generator<[name: number, value: number]> {
  if (payload.length % 6 !== 0) {
    throw new Http2Error(Http2Code.FRAME_SIZE_ERROR, "settings are cut");
  }
  const view = fixed(payload, 0);
  for (let at = 0; at < payload.length; at += 6) yield [view.getUint16(at), view.getUint32(at + 2)];
}

/** A payload that has a least length. Throws Http2Error. */
export function fixed(payload: Uint8Array, least: number): DataView {
  if (payload.length < least) throw new Http2Error(Http2Code.FRAME_SIZE_ERROR, "a frame is cut");
  return new DataView(payload.buffer, payload.byteOffset, payload.length);
}

/** What a peer said, for people. */
export function printableText(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes).replaceAll(/[^ -~]/g, "?") || "without a reason";
}
