/** An answer and its form in HTTP/1.1: one a connection. */

import { concat } from "@std/bytes/concat";
import type { HttpHead } from "./http_request.ts";

/** Parts of a body that come one after the other. */
export type BodyStream = AsyncIterable<Uint8Array>;

const REASONS = new Map([
  [200, "OK"],
  [204, "No Content"],
  [400, "Bad Request"],
  [404, "Not Found"],
  [405, "Method Not Allowed"],
  [409, "Conflict"],
  [411, "Length Required"],
  [413, "Content Too Large"],
  [500, "Internal Server Error"],
  [503, "Service Unavailable"],
]);

const encoder = new TextEncoder();

/** What a request is answered with. */
export class HttpResponse {
  readonly status: number;
  readonly body: Uint8Array | BodyStream;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: number,
    body: string | BodyStream = "",
    headers: Readonly<Record<string, string>> = {},
  ) {
    this.status = status;
    this.body = typeof body === "string" ? encoder.encode(body) : body;
    this.headers = headers;
  }

  /** The value as JSON. */
  static json(
    value: unknown,
    { status = 200, headers = {} }: { status?: number; headers?: Record<string, string> } = {},
  ): HttpResponse {
    const type = { "content-type": "application/json" };
    return new HttpResponse(status, JSON.stringify(value), { ...type, ...headers });
  }
}

/** The bytes of an answer, part by part. */
export async function* responseBytes(
  { status, body, headers }: HttpResponse,
  { method, chunks }: Pick<HttpHead, "method" | "chunks">,
): AsyncGenerator<Uint8Array> {
  const whole = body instanceof Uint8Array;
  const framing = status === 204
    ? []
    : whole
    ? [["content-length", String(body.length)]]
    : chunks
    ? [["transfer-encoding", "chunked"]]
    : [];
  const lines = [...Object.entries(headers), ...framing, ["connection", "close"]]
    .map(([name, value]) => `${name}: ${value}\r\n`).join("");
  const head = encoder.encode(
    `HTTP/1.1 ${status} ${REASONS.get(status) ?? ""}\r\n${lines}\r\n`,
  );
  if (method === "HEAD" || status === 204) {
    yield head;
  } else if (whole) {
    // together: one segment for what is short
    yield concat([head, body]);
  } else {
    yield head;
    for await (const part of body) {
      if (part.length === 0) continue;
      if (chunks) {
        const size = encoder.encode(`${part.length.toString(16)}\r\n`);
        yield concat([size, part, encoder.encode("\r\n")]);
      } else yield part;
    }
    if (chunks) yield encoder.encode("0\r\n\r\n");
  }
}
