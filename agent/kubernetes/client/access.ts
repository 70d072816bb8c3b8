/** How the API server is reached, and as whom. */

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

/** The file's text. Throws AccessError. */
export function readAccessFile(path: string, what: string): string {
  try {
    return Deno.readTextFileSync(path);
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
  if (url && /^https?:$/.test(url.protocol) && !url.username && !url.search) {
    return url.href.replace(/\/+$/, "");
  }
  throw new AccessError(
    `${what} is ${JSON.stringify(text)}, and must be a URL such as https://192.0.2.1:6443`,
  );
}

/** Throws AccessError when a secret would be sent in the clear over a network. */
export function checkedAccess(access: Access): Access {
  const { servers, token, certificate, origin } = access;
  const open = servers.find((server) => {
    const { protocol, hostname } = new URL(server);
    return protocol === "http:" && !/^(localhost|127\..*|\[::1\])$/.test(hostname);
  });
  if (open === undefined || !token && !certificate) return access;
  throw new AccessError(
    `${origin}: ${open} is not https, and the credentials would be sent in the clear`,
  );
}
