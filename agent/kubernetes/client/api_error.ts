/** What goes wrong between pilus and the API server, in words that say what is missing. */

import { X509Certificate } from "node:crypto";
import { printable } from "../../core/printable.ts";
import type { Access } from "./access.ts";

/** What went wrong. */
export type ApiErrorCode =
  /** No connection, or it broke. */
  | "unreachable"
  /** Nothing came for too long. */
  | "silent"
  /** No trust between the two. */
  | "untrusted"
  | "unauthorized"
  | "forbidden"
  | "notFound"
  /** The resource version is not to be had any more. */
  | "gone"
  /** It is there already, or has been changed by somebody else. */
  | "conflict"
  /** The resource version is not there yet. */
  | "ahead"
  | "invalid"
  /** It asks to come again later. */
  | "busy"
  /** An answer that is none of the API's. */
  | "strange";

/** What a request asks for: for messages, and what has to be granted for it. */
export interface Request {
  verb: "list" | "watch" | "get" | "create" | "update" | "patch" | "delete";
  /** API group; empty for the core's. */
  group: string;
  /** Such as `pods`. */
  resource: string;
}

/** See the module. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly code: ApiErrorCode;
  /** Milliseconds that the server asks to wait. */
  readonly retryAfterMs: number | undefined;

  constructor(code: ApiErrorCode, message: string, retryAfterMs?: number) {
    super(message);
    this.code = code;
    this.retryAfterMs = retryAfterMs;
  }
}

/** What is kept of texts from elsewhere. */
const MAX_TEXT = 400;

const shortened = (text: string) => printable(text.trim().slice(0, MAX_TEXT));

/** The `Status` of the API, as far as it is read. */
export interface ApiStatus {
  code?: unknown;
  reason?: unknown;
  message?: unknown;
  details?: { retryAfterSeconds?: unknown; causes?: unknown } | null;
}

/** The error that an answer is, or the object of a watch's event of type ERROR. */
export function statusError(
  { status, object, text = "", retryAfter }: {
    status: number;
    object?: ApiStatus | undefined;
    text?: string;
    retryAfter?: string | null;
  },
  request: Request,
  access: Access,
): ApiError {
  const said = shortened(typeof object?.message === "string" ? object.message : text);
  const seconds = Number(retryAfter ?? object?.details?.retryAfterSeconds ?? NaN);
  const wait = Number.isFinite(seconds) ? Math.min(Math.max(seconds, 0), 300) * 1000 : undefined;
  const what = `${request.verb} ${request.resource}`;
  const error = (code: ApiErrorCode, message: string) =>
    new ApiError(code, said === "" ? message : `${message}: ${said}`, wait);
  if (isAhead(object)) return error("ahead", `${what}: the server's state is older than ours`);
  switch (status) {
    case 401:
      return error("unauthorized", `${what}: the API server does not take the ${expiry(access)}`);
    case 403:
      return error("forbidden", `${what}: not allowed; grant it: ${grant(request, access)}`);
    case 404:
      return error("notFound", `${what}: the API server does not have it`);
    case 409:
      return error("conflict", `${what}: it is there, or was changed by somebody else`);
    case 410:
      return error("gone", `${what}: the resource version is too old`);
    case 400:
    case 422:
      return error("invalid", `${what}: refused (${status})`);
  }
  if (status === 429 || status >= 500) {
    return error("busy", `${what}: the API server has no answer now (${status})`);
  }
  return error("strange", `${what}: unexpected status ${status}`);
}

/** A server that is behind: one of several, or restored from a backup. */
function isAhead(object: ApiStatus | undefined): boolean {
  const causes = object?.details?.causes;
  if (!Array.isArray(causes)) return false;
  return causes.some((cause) => cause?.reason === "ResourceVersionTooLarge");
}

/** What has to be granted for a verb. Who applies may have to create. */
const VERBS: Readonly<Record<Request["verb"], readonly string[]>> = {
  list: ["list", "watch"],
  watch: ["list", "watch"],
  get: ["get"],
  create: ["create"],
  update: ["update"],
  patch: ["create", "patch"],
  delete: ["delete"],
};

function grant({ verb, group, resource }: Request, { origin }: Access): string {
  const verbs = VERBS[verb].map((each) => `"${each}"`).join(", ");
  return `a ClusterRole with {apiGroups: ["${group}"], resources: ["${resource}"], verbs: ` +
    `[${verbs}]}, bound to whom the ${origin} is of`;
}

/** What the client shows, and whether it has run out. */
function expiry({ token, certificate, origin }: Access, now = Date.now()): string {
  if (token) return `token of the ${origin}${tokenExpiry(token, now)}`;
  if (certificate) return `certificate of the ${origin}${certificateExpiry(certificate.cert, now)}`;
  return `${origin}, which has no token and no certificate`;
}

/** When a JWT is valid is no secret. */
function tokenExpiry(token: string, now: number): string {
  try {
    const [, payload = ""] = token.split(".");
    const { exp, nbf } = JSON.parse(atob(payload.replaceAll("-", "+").replaceAll("_", "/")));
    if (typeof exp === "number" && exp * 1000 < now) return `, which expired ${iso(exp * 1000)}`;
    if (typeof nbf === "number" && nbf * 1000 > now) {
      return `, which is valid from ${iso(nbf * 1000)}: is this node's clock right?`;
    }
  } catch { /* a token of another form */ }
  return "";
}

function certificateExpiry(pem: string, now: number): string {
  try {
    const { validFrom, validTo } = new X509Certificate(pem);
    if (Date.parse(validTo) < now) return `, which expired ${iso(Date.parse(validTo))}`;
    if (Date.parse(validFrom) > now) {
      return `, which is valid from ${iso(Date.parse(validFrom))}: is this node's clock right?`;
    }
  } catch { /* the server's answer is all there is to say */ }
  return "";
}

const iso = (ms: number) => new Date(ms).toISOString();

/** Parts of the runtime's messages about connections, and what they mean. */
const CONNECTION: readonly [RegExp, ApiErrorCode, string][] = [
  [
    /UnknownIssuer|unable to get local issuer|self.signed/i,
    "untrusted",
    "its certificate is " +
    "signed by none of the certificate authorities that are given",
  ],
  [
    /NotValidForName|not valid for name/i,
    "untrusted",
    "its certificate is for other names or " +
    "addresses",
  ],
  [
    /invalid peer certificate: Expired|certificate expired/i,
    "untrusted",
    "its certificate has " +
    "expired, or this node's clock is wrong",
  ],
  [
    /NotValidYet|not valid yet/i,
    "untrusted",
    "its certificate is not valid yet, or this node's " +
    "clock is wrong",
  ],
  [
    /peer certificate|bad certificate|certificate required|CertificateUnknown|UnknownCA/i,
    "untrusted",
    "client and server do not take each other's certificates",
  ],
  [
    /InvalidContentType|corrupt message|HandshakeFailure/i,
    "untrusted",
    "it does not speak TLS, " +
    "or not a version of it that is safe",
  ],
  [/connection refused/i, "unreachable", "the connection is refused: does it run, and there?"],
  [/no route to host|network is unreachable/i, "unreachable", "there is no route to it"],
  [/dns error|failed to lookup/i, "unreachable", "its name has no address"],
];

/** Newer runtimes say in the cause what failed, older ones in the error itself. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { message } = error.cause instanceof Error ? error.cause : error;
  // without the URL, which stands before it
  return /client error \(\w+\): (.*)$/.exec(message)?.[1] ?? message;
}

/** The error that a failed connection is. */
export function connectionError(cause: unknown, request: Request, server: string, access: Access) {
  const text = reasonOf(cause);
  const what = `${request.verb} ${request.resource}: ${server}`;
  const [, code, meaning] = CONNECTION.find(([pattern]) => pattern.test(text)) ??
    [/./, "unreachable" as const, "the connection failed"];
  const own = code === "untrusted" && access.certificate
    ? certificateExpiry(access.certificate.cert, Date.now())
    : "";
  const ours = own && ` (the client's certificate of the ${access.origin}${own})`;
  return new ApiError(code, `${what}: ${meaning}${ours}: ${shortened(text)}`);
}
