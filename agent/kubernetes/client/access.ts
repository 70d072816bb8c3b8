/** How the API server is reached, and as whom. */

import { readBounded } from "../../core/bounded_file.ts";

/** What a request needs. Secrets of it are in no text that anybody sees. */
export interface Access {
  /** Base URLs of API servers of one cluster, the preferred one first. */
  servers: readonly string[];
  /** Where this is from, such as `kubeconfig /etc/pilus/kubeconfig, context node`. */
  origin: string;
  /** Certificates of those who may have signed the server's, in PEM; those of the system without. */
  caCerts?: string;
  /** The client's certificate and its key, in PEM. */
  certificate?: { cert: string; key: string };
  token?: string;
  /** URL of an HTTP proxy. */
  proxy?: string;
}

/** Reads the access as it is now: files are read anew, as tokens and certificates are rotated. */
export type AccessReader = () => Access;

/** What is given cannot be used. The message says what to give. */
export class AccessError extends Error {
  override readonly name = "AccessError";
}

/** Of a file: kubeconfigs and bundles of certificates are the largest. */
const MAX_BYTES = 4 << 20;

/** The file's text. Throws AccessError. */
export function readAccessFile(path: string, what: string): string {
  try {
    // tokens are links that the kubelet changes
    return readBounded(path, { maxBytes: MAX_BYTES, followLinks: true });
  } catch (error) {
    const reason = error instanceof Deno.errors.NotFound ? "is not there" : "cannot be read";
    throw new AccessError(`${path}, ${what}, ${reason}: ${(error as Error).message}`);
  }
}

/** Text between marks of a kind of PEM. Throws AccessError when there is none. */
export function checkedPem(text: string, kind: RegExp, what: string): string {
  if (new RegExp(`-----BEGIN ${kind.source}-----`).test(text)) return text;
  throw new AccessError(`${what} is not in PEM: it has no line -----BEGIN … -----`);
}

/** The URL without a slash at its end. Throws AccessError. */
export function checkedServer(text: string, what: string): string {
  const url = URL.parse(text);
  const secret = url?.username || url?.password || url?.search || url?.hash;
  if (url && /^https?:$/.test(url.protocol) && !secret) return url.href.replace(/\/+$/, "");
  const shown = secret ? "has credentials or a query" : `is ${JSON.stringify(text)}`;
  throw new AccessError(`${what} ${shown}, and must be a URL such as https://192.0.2.1:6443`);
}

/** Throws AccessError when a secret would be sent in the clear over a network, or cannot be sent. */
export function checkedAccess(access: Access): Access {
  const { servers, token, certificate, origin } = access;
  // the runtime would quote it
  if (token && !/^[\x21-\x7e]+$/.test(token)) {
    throw new AccessError(`${origin}: the token has characters that no token has`);
  }
  const open = servers.find((server) => {
    const { protocol, hostname } = new URL(server);
    return protocol === "http:" && !/^(localhost|127\..*|\[::1\])$/.test(hostname);
  });
  if (open === undefined || !token && !certificate) return access;
  throw new AccessError(
    `${origin}: ${open} is not https, and the credentials would be sent in the clear`,
  );
}
