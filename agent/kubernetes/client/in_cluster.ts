/** Access of a pod by its service account, whose token the kubelet rotates. */

import {
  AccessError,
  type AccessReader,
  checkedAccess,
  checkedPem,
  readAccessFile,
} from "./access.ts";

/** Where the kubelet puts it. */
const DIRECTORY = "/var/run/secrets/kubernetes.io/serviceaccount";

/** What {@linkcode inClusterReader} takes. */
export interface InClusterOptions {
  /** Replace those of the environment. */
  servers?: readonly string[];
  /** @default {"/var/run/secrets/kubernetes.io/serviceaccount"} */
  directory?: string;
  /** @default the process' own */
  environment?: (name: string) => string | undefined;
}

/** The access that the service account gives. */
export function inClusterReader(
  { servers = [], directory = DIRECTORY, environment = (name) => Deno.env.get(name) }:
    InClusterOptions = {},
): AccessReader {
  return () => {
    const token = readAccessFile(`${directory}/token`, "the service account's token").trim();
    const ca = readAccessFile(`${directory}/ca.crt`, "the service account's certificate authority");
    return checkedAccess({
      servers: servers.length > 0 ? servers : [serviceUrl(environment)],
      origin: `service account in ${directory}`,
      caCerts: checkedPem(ca, /CERTIFICATE/, `${directory}/ca.crt`),
      token,
    });
  };
}

function serviceUrl(environment: (name: string) => string | undefined): string {
  const host = environment("KUBERNETES_SERVICE_HOST");
  const port = environment("KUBERNETES_SERVICE_PORT") ?? "443";
  if (host) return `https://${host.includes(":") ? `[${host}]` : host}:${port}`;
  throw new AccessError(
    "KUBERNETES_SERVICE_HOST is not set, as it is in pods: name the API server by --api-server, " +
      "or give a --kubeconfig",
  );
}
