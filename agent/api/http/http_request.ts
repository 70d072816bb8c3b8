/** The head of an HTTP/1 request (RFC 9112), read with limits. */

/** A request that is not answered with what it asks for. */
export class HttpError extends Error {
  override readonly name = "HttpError";
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** A request's first line and fields. */
export interface HttpHead {
  method: string;
  /** Without the query, as the client wrote it. */
  path: string;
  query: URLSearchParams;
  /** By name in lower case; of several with one name, the last. */
  headers: ReadonlyMap<string, string>;
  /** Whether the client knows HTTP/1.1. */
  chunks: boolean;
}

/** The most bytes of a head. */
export const MAX_HEAD = 16 * 1024;

const REQUEST_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) (\S{1,8192}) HTTP\/1\.([01])$/;
const FIELD = /^([!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}):[ \t]*(.*?)[ \t]*$/;

/** Where the head ends: the index behind its empty line; undefined when that is not there yet. */
export function headEnd(bytes: Uint8Array, from: number): number | undefined {
  for (let i = Math.max(3, from); i < bytes.length; i++) {
    if (bytes[i] !== 10 || bytes[i - 2] !== 10) continue;
    if (bytes[i - 1] === 13 && bytes[i - 3] === 13) return i + 1;
  }
  return undefined;
}

/** Throws HttpError 400 for what is not HTTP/1. */
export function parseHead(text: string): HttpHead {
  const [first = "", ...lines] = text.split("\r\n");
  const match = REQUEST_LINE.exec(first);
  if (!match) throw new HttpError(400, "The request's first line is not HTTP/1.1's");
  const [, method = "", target = "", minor] = match;
  const headers = new Map<string, string>();
  for (const line of lines) {
    if (line === "") continue;
    const field = FIELD.exec(line);
    if (!field) throw new HttpError(400, "A line of the request's head is not a field");
    headers.set(field[1]!.toLowerCase(), field[2]!);
  }
  const local = target.replace(/^https?:\/\/[^/?#]*/i, "");
  const question = local.indexOf("?");
  const path = question < 0 ? local : local.slice(0, question);
  return {
    method,
    path: path === "" ? "/" : path,
    query: new URLSearchParams(question < 0 ? "" : local.slice(question + 1)),
    headers,
    chunks: minor === "1",
  };
}

/**
 * Bytes of the body. Throws HttpError for a length that is none or larger than `limit`, and for a
 * body in chunks.
 */
export function bodyLength({ headers }: HttpHead, limit: number): number {
  if (headers.has("transfer-encoding")) {
    throw new HttpError(411, "A body needs a content-length; transfer-encoding is not known here");
  }
  const text = headers.get("content-length") ?? "0";
  if (!/^[0-9]{1,15}$/.test(text)) {
    throw new HttpError(400, "content-length is not a number of bytes");
  }
  const length = Number(text);
  if (length > limit) throw new HttpError(413, `The request has more than ${limit} bytes`);
  return length;
}
